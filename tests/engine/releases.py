"""The Docker releases under test, and the paths of their programs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .fetch_docker import fetch

DEFAULT_ENGINES = "20.10,26"
BESIDE = "beside"
MANAGED = "managed"
"""The two ways to run pyvol: a daemon beside the engine, and the engine's managed plugin."""
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
MACHINE_DOCKERD = Path("/usr/sbin/dockerd")
COMPOSE_PLUGIN = "usr/libexec/docker/cli-plugins/docker-compose"


@dataclass(frozen=True)
class Release:
    """One Docker release: its programs, found without a call to the machine's own Docker."""

    version: str
    dockerd: Path
    docker: Path
    path: str
    compose: Path


def order(version: str) -> tuple[int, ...]:
    """Return a key that sorts '20.10' as a version."""
    return tuple(int(part) for part in version.split("."))


@cache
def wanted_versions() -> tuple[str, ...]:
    """Return the releases to test, from PYVOL_ENGINES.

    Returns the same objects each time: by their identity pytest knows that it can use a release's machine
    again.
    """
    given = os.environ.get("PYVOL_ENGINES") or DEFAULT_ENGINES
    return tuple(name.strip() for name in given.split(",") if name.strip())


def machine_has(version: str) -> bool:
    """Return whether the machine's own dockerd is of the wanted release."""
    if not MACHINE_DOCKERD.exists():
        return False
    printed = subprocess.run([str(MACHINE_DOCKERD), "--version"], check=True, capture_output=True, text=True).stdout
    return f"version {version}." in printed


def find_release(version: str) -> Release:
    """Return the programs of a release: the machine's own, or fetched ones."""
    tree = Path("/") if machine_has(version) else fetch(version)
    # One Compose works with every engine: it is a client, and uses each engine's API version.
    compose = tree / COMPOSE_PLUGIN
    return Release(
        version=version,
        dockerd=tree / "usr/sbin/dockerd",
        docker=tree / "usr/bin/docker",
        path=f"{tree / 'usr/bin'}:{tree / 'usr/sbin'}:{SYSTEM_PATH}",
        compose=compose if compose.exists() else fetch("26") / COMPOSE_PLUGIN,
    )
