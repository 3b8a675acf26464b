"""Build the managed plugin with `make plugin`, on a base image that replaces `python:3.13-slim`; no pulls.

mmdebstrap builds the base image from Debian's Python 3.13 and pip, with the mirror that apt is configured to
use. The base image has the same files in the same places as upstream's image, except that its Python is
Debian's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .dockerd import Dockerd
from .fetch_docker import find_mirror, locate_cache
from .namespace import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .releases import Release

TOP = Path(__file__).resolve().parents[2]
BASE = "python:3.13-slim"
BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
SUITE = "trixie"
PACKAGES = "python3,python3-pip-whl,ca-certificates"
TIMEOUT_S = 600

INSTALL_PIP = (
    "PYTHONPATH=\\$(echo /usr/share/python-wheels/pip-*.whl) "
    "python3 -m pip install -q --no-index --root-user-action=ignore /usr/share/python-wheels/pip-*.whl"
)
# No package of pip fits: the wheel installs itself. Its index and certificates come from the test machine.
HOOKS = (
    'cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"',
    'rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
    f'chroot "$1" sh -c "{INSTALL_PIP}"',
    'ln -s /usr/bin/python3 "$1/usr/local/bin/python3"',
    'cp "$PYVOL_PIP_CONF" "$1/etc/pip.conf"',
)
UNWANTED = ("doc", "man", "locale", "info")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def write_pip_configuration(file: Path) -> None:
    """Write the test machine's pip settings to a file, as far as they also work inside the image."""
    listed = subprocess.run(["python3", "-m", "pip", "config", "list"], check=False, capture_output=True, text=True)
    kept = [f"cert = {CERTIFICATES}"]
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in {"index-url", "trusted-host", "proxy"} and "file:" not in value:
            kept.append(f"{name} = {value.strip(chr(39))}")
    file.write_text("\n".join(["[global]", *kept, ""]))


def make_base(archive: Path) -> None:
    """Build the base image."""
    pip = archive.with_suffix(".pip.conf")
    write_pip_configuration(pip)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"]
    command += ["--aptopt=Acquire::Languages none", "--aptopt=Acquire::Retries 3"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in UNWANTED]
    command += [f"--customize-hook={hook}" for hook in HOOKS]
    subprocess.run(
        [*command, SUITE, str(archive), find_mirror()],
        check=True,
        timeout=TIMEOUT_S,
        env=dict(os.environ, PYVOL_PIP_CONF=str(pip)),
    )
    pip.unlink()


def find_base() -> Path:
    """Return the base image as an archive; build it if the cache has none."""
    cache = locate_cache()
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / "python-3.13.tar"
    with (cache / "lock-base").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            half = cache / "python-3.13.part.tar"
            make_base(half)
            half.rename(archive)
    return archive


@contextmanager
def open_builder(release: Release) -> Iterator[Builder]:
    """Yield a private engine with the base image; one at a time, because all use one directory."""
    namespace = Namespace()
    dockerd = Dockerd(release, namespace)
    base = find_base()
    with (locate_cache() / "lock-plugin").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            namespace.open()
            dockerd.start()
            with base.open("rb") as archive:
                subprocess.run(
                    dockerd.client("import", "--change", f"ENV PATH={BASE_PATH}", "-", BASE),
                    check=True,
                    stdin=archive,
                    stdout=subprocess.DEVNULL,
                    env=dockerd.environment(),
                    timeout=TIMEOUT_S,
                )
            yield Builder(namespace, dockerd)
        finally:
            namespace.close()
            dockerd.collect()


class Builder:
    """An engine that builds the plugin."""

    def __init__(self, namespace: Namespace, dockerd: Dockerd) -> None:
        """Store the engine that builds the plugin."""
        self.namespace = namespace
        self.dockerd = dockerd

    def make(self, *words: str) -> None:
        """Run `make` with these arguments."""
        environment = self.dockerd.environment() | {
            "DOCKER_HOST": f"unix://{self.dockerd.api.path}",
            "DOCKER_BUILD_OPTIONS": "--network host",
            "DOCKER_BUILDKIT": "0",
            "PATH": f"{self.dockerd.release.docker.parent}:{os.environ['PATH']}",
        }
        done = subprocess.run(
            ["make", *words],
            check=False,
            cwd=TOP,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        if done.returncode:
            raise RuntimeError(f"make {words[0]}: {done.stdout}{done.stderr}")


def build_plugin(release: Release, repository: str, target: Path) -> Path:
    """Run `make plugin` and `make plugin-push` with a private engine, and copy the plugin's files."""
    with open_builder(release) as builder:
        builder.make("plugin")
        builder.make("plugin-push", f"REPO={repository}")
        left = builder.dockerd.run("plugin", "ls", "--format", "{{.Name}} {{.Enabled}}").stdout.split("\n")
        if left != ["pyvol:latest false", ""]:
            raise AssertionError(f"make plugin made, and make plugin-push left: {left}")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(TOP / "build" / "plugin", target, symlinks=True, copy_function=os.link)
        return target


def build_disk(release: Release, image_root: bytes, disk: Path, size_mib: int) -> Path:
    """Run `make plugin`, and save the engine's data and the stand-in image as a disk for another engine."""
    with open_builder(release) as builder:
        builder.make("plugin")
        for words in (["system", "prune", "--all", "--force"], ["rmi", "--force", BASE, "pyvol-plugin"]):
            builder.dockerd.run(*words)
        builder.dockerd.import_images(image_root)
        builder.dockerd.stop()
        command = ["mkfs.ext4", "-q", "-F", "-d", str(builder.dockerd.data), str(disk), f"{size_mib}M"]
        made = builder.namespace.run(command, env=os.environ, timeout_s=TIMEOUT_S)
        if made.returncode:
            raise RuntimeError(f"mkfs.ext4: {made.stderr}")
        return disk
