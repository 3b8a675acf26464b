"""Fetch the Docker releases under test from Debian's archive into a cache directory.

A machine has one Docker, but the tests need several beside each other. The machine's own apt downloads the
packages of another Debian suite from the configured mirror and checks their signatures. This module unpacks
the packages and does not install them. Run it as ``python tests/engine/fetch_docker.py 26 28``; it skips what
the cache already has. It does not fetch runc: the runc of the oldest suite works with all releases.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SUITES = {"20.10": "bookworm", "26": "trixie", "28": "forky"}
PACKAGES = ("docker.io", "docker-cli", "containerd", "docker-compose")
# Bookworm's docker.io contains its own client, and a Compose in Python that the tests do not use.
OLD_PACKAGES = ("docker.io", "containerd")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ROLLING_NAMES = frozenset({"oldstable", "stable", "testing", "unstable", "sid"})
NETWORK_TIMEOUT_S = 600


def locate_cache() -> Path:
    """Return the directory of fetched releases: PYVOL_TEST_CACHE, or a directory in the user's cache."""
    return Path(os.environ.get("PYVOL_TEST_CACHE") or Path.home() / ".cache" / "pyvol-tests")


def find_mirror() -> str:
    """Return the Debian mirror of this machine's apt configuration, or PYVOL_TEST_MIRROR."""
    if given := os.environ.get("PYVOL_TEST_MIRROR"):
        return given
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    columns = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", columns, "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    )
    for line in targets.stdout.splitlines():
        uri, release, component = line.split()
        if component == "main" and release in ROLLING_NAMES | {codename}:
            return uri
    raise SystemExit("apt knows no Debian mirror here: name one in PYVOL_TEST_MIRROR")


def write_apt_configuration(directory: Path, suite: str) -> Path:
    """Write a configuration that gives apt its own state, so that apt does not change the machine's lists."""
    for needed in ("lists/partial", "archives/partial", "debs"):
        (directory / needed).mkdir(parents=True)
    (directory / "status").touch()
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (directory / "sources.list").write_text(f"deb {signed}{find_mirror()} {suite} main\n")
    configuration = directory / "apt.conf"
    # The lists of a mirror that is frozen or late have expired. apt still checks their signatures.
    configuration.write_text(
        f"""\
Dir::Etc::sourcelist "{directory}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "{directory}/lists";
Dir::State::status "{directory}/status";
Dir::Cache "{directory}";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::Check-Valid-Until "false";
APT::Sandbox::User "root";
"""
    )
    return configuration


def unpack(version: str, tree: Path) -> None:
    """Download the packages of one release and unpack them into the tree."""
    packages = OLD_PACKAGES if version == "20.10" else PACKAGES
    with tempfile.TemporaryDirectory(prefix="pyvol-fetch-") as scratch:
        directory = Path(scratch)
        apt = ["apt-get", "-q", "-c", str(write_apt_configuration(directory, SUITES[version]))]
        subprocess.run([*apt, "update"], check=True, timeout=NETWORK_TIMEOUT_S, stdout=sys.stderr)
        debs = directory / "debs"
        subprocess.run(
            [*apt, "download", *packages], check=True, timeout=NETWORK_TIMEOUT_S, stdout=sys.stderr, cwd=debs
        )
        for deb in sorted(debs.iterdir()):
            subprocess.run(["dpkg", "-x", str(deb), str(tree)], check=True)


def fetch(version: str) -> Path:
    """Return the directory tree of one release; fetch it if the cache has none."""
    if version not in SUITES:
        raise SystemExit(f"no Debian suite is known for Docker {version}; there are {', '.join(SUITES)}")
    cache = locate_cache()
    cache.mkdir(parents=True, exist_ok=True)
    tree = cache / f"docker-{version}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.is_dir():
            # An interrupted fetch must not look like a release: the tree gets its name last.
            half = cache / f"docker-{version}.part"
            shutil.rmtree(half, ignore_errors=True)
            unpack(version, half)
            half.rename(tree)
    return tree


if __name__ == "__main__":
    for wanted in sys.argv[1:] or ["26"]:
        sys.stdout.write(f"{fetch(wanted)}\n")
