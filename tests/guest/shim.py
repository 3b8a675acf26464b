"""Build the small C libraries that tests preload (LD_PRELOAD) into a process, once per machine."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def build_shim(name: str, directory: Path = HERE) -> Path:
    """Compile `name`.c into a shared object in the user's cache, if the cache has none of the same source."""
    source = directory / f"{name}.c"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pyvol-tests"
    cache.mkdir(parents=True, exist_ok=True)
    library = cache / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            fresh = Path(scratch) / library.name
            subprocess.run(
                ["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", fresh, source, "-ldl"],
                check=True,
            )
            fresh.replace(library)
    return library
