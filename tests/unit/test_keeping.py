"""Locks that outlive a daemon: the process that keeps their files."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyvol.host.keeping import Keeping


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Keeping]:
    """A daemon's line to a keeper, which ends with the test."""
    made = Keeping(str(tmp_path))
    yield made
    made.close()
    if made._process is not None:
        made._process.kill()
        made._process.wait()


def locked(path: Path) -> int:
    """Return an open file that is locked."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def is_free(path: Path) -> bool:
    """Tell whether nobody has a file locked."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def wait_until(holds: Callable[[], object]) -> None:
    """Poll until something is true."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_lock_outlives_its_daemon(tmp_path: Path, keeping: Keeping) -> None:
    """The next daemon gets the open file back by its key, and its lock ends when both have let go of it."""
    file = locked(tmp_path / "lock")
    keeping.keep(b"key", [file])
    keeping.close()
    os.close(file)
    assert not is_free(tmp_path / "lock")
    after = Keeping(str(tmp_path))
    kept = after.take_over()
    assert list(kept) == [b"key"]
    after.drop(b"key")
    assert not is_free(tmp_path / "lock")
    os.close(kept[b"key"][0])
    assert is_free(tmp_path / "lock")
    after.close()
    assert keeping._process is not None
    wait_until(lambda: keeping._process and keeping._process.poll() is not None)  # it has nothing to keep
    assert Keeping(str(tmp_path)).take_over() == {}


def test_a_keeper_that_was_killed_is_made_anew(tmp_path: Path, keeping: Keeping) -> None:
    """The daemon has the files still, and the next one that is to be kept brings them all to another keeper."""
    files = [locked(tmp_path / name) for name in ("a", "b")]
    keeping.keep(b"a", files[:1])
    assert keeping._process is not None
    keeping._process.kill()
    keeping._process.wait()
    keeping.keep(b"b", files[1:])
    keeping.close()
    for file in files:
        os.close(file)
    assert not is_free(tmp_path / "a")
    assert not is_free(tmp_path / "b")


def test_what_is_kept_twice_is_kept_once(tmp_path: Path, keeping: Keeping) -> None:
    """A volume that is locked once more has its new files kept, and the old ones closed."""
    first, second = (locked(tmp_path / name) for name in ("first", "second"))
    keeping.keep(b"key", [first])
    keeping.keep(b"key", [second])
    os.close(first)
    assert is_free(tmp_path / "first")
    os.close(second)
    assert not is_free(tmp_path / "second")


def test_where_no_keeper_was_there_is_nothing(tmp_path: Path) -> None:
    """Not on a new host, and not after a reboot, which leaves the socket and nobody behind it."""
    assert Keeping(str(tmp_path)).take_over() == {}
    Keeping(str(tmp_path)).drop(b"key")


def test_its_directory_may_lie_deep(tmp_path: Path) -> None:
    """The path of a socket may have no more than 107 bytes, and a directory's many more."""
    deep = tmp_path / ("x" * 150)
    deep.mkdir()
    keeping = Keeping(str(deep))
    file = locked(deep / "lock")
    keeping.keep(b"key", [file])
    keeping.drop(b"key")
    keeping.close()
    os.close(file)
    assert keeping._process is not None
    assert keeping._process.wait(30) == 0
