"""Other programs of this host, run to their end."""

import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple


class Ended(NamedTuple):
    """How a program ended, and what it wrote."""

    status: int
    output: bytes
    errors: str


def has(program: str) -> bool:
    """Tell whether there is such a program."""
    return shutil.which(program) is not None


def run(words: Sequence[str]) -> Ended:
    """Run a program to its end, with nothing to read; raises OSError when it cannot be started."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return Ended(done.returncode, done.stdout, done.stderr.decode(errors="replace"))
