"""Fixtures that every tier shares: a house wired in this process, and a daemon that serves."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from house import House
from served import Served


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory in memory: what is tested here is the order of things, and fsync is quick there."""
    path = Path(tempfile.mkdtemp(prefix="pyvol-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def house(scratch: Path) -> Iterator[House]:
    """The core over a real catalog and real pools, with a clock and a kernel that the test holds in its hands."""
    made = House(scratch)
    yield made
    made.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A daemon of its own, on a socket."""
    daemon = Served(tmp_path)
    daemon.start()
    yield daemon
    daemon.stop()
