"""Locks that outlive a daemon: the process that keeps their files."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count, islice
from pathlib import Path

import pytest

from deadline import await_true
from fakes import FakeLog
from flocks import is_free, locked
from pyvol.host.processes import fd_store as keepings
from pyvol.host.processes import limits
from pyvol.host.processes.fd_store import FdStore
from pyvol.host.processes.fds import close


def life(directory: Path) -> FdStore:
    """A daemon's line to the keeper of a directory."""
    return FdStore(str(directory), FakeLog())


def end(fd_store: FdStore) -> None:
    """End a daemon's line, and the keeper that it has made."""
    fd_store.close()
    if fd_store._process is not None:
        fd_store._process.kill()
        fd_store._process.wait()


@pytest.fixture
def fd_store(tmp_path: Path) -> Iterator[FdStore]:
    """A daemon's line to a keeper, which ends with the test."""
    made = life(tmp_path)
    yield made
    end(made)


@pytest.fixture
def after(tmp_path: Path, fd_store: FdStore) -> Iterator[FdStore]:
    """The line of the next daemon."""
    assert fd_store._process is None
    made = life(tmp_path)
    yield made
    end(made)


@contextmanager
def limited(pid: int, more: int) -> Iterator[None]:
    """Let a process have so many more files open."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()}
    free = (number for number in count() if number not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (next(islice(free, more, None)), before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def has_ended(fd_store: FdStore) -> bool:
    """Tell whether the keeper that a daemon has made is gone."""
    return fd_store._process is not None and fd_store._process.poll() is not None


def stop(fd_store: FdStore, *daemons: FdStore) -> None:
    """Have the keeper stand still that a daemon has made; those that have a line to it do not wait for long."""
    assert fd_store._process is not None
    fd_store._process.send_signal(signal.SIGSTOP)
    for daemon in daemons:
        assert daemon._line is not None
        daemon._line.settimeout(0.2)


def test_a_lock_outlives_its_daemon(tmp_path: Path, fd_store: FdStore, after: FdStore) -> None:
    """The next daemon gets the open file back by its key, and its lock ends when both have let go of it."""
    file = locked(tmp_path / "lock")
    fd_store.keep(b"key", [file])
    fd_store.close()
    os.close(file)
    assert not is_free(tmp_path / "lock")
    kept = after.take_over()
    assert list(kept) == [b"key"]
    after.drop(b"key")
    assert not is_free(tmp_path / "lock")
    os.close(kept[b"key"][0])
    assert is_free(tmp_path / "lock")
    after.close()
    await_true(lambda: has_ended(fd_store))  # it has nothing to keep
    assert life(tmp_path).take_over() == {}


def test_a_keeper_that_was_killed_is_made_anew(tmp_path: Path, fd_store: FdStore) -> None:
    """The daemon has the files still, and the next one that is to be kept brings them all to another keeper."""
    files = [locked(tmp_path / name) for name in ("a", "b")]
    fd_store.keep(b"a", files[:1])
    assert fd_store._process is not None
    fd_store._process.kill()
    fd_store._process.wait()
    fd_store.keep(b"b", files[1:])
    fd_store.close()
    for file in files:
        os.close(file)
    assert not is_free(tmp_path / "a")
    assert not is_free(tmp_path / "b")


def test_what_is_kept_twice_is_kept_once(tmp_path: Path, fd_store: FdStore) -> None:
    """A volume that is locked once more has its new files kept, and the old ones closed."""
    first, second = (locked(tmp_path / name) for name in ("first", "second"))
    fd_store.keep(b"key", [first])
    fd_store.keep(b"key", [second])
    os.close(first)
    assert is_free(tmp_path / "first")
    os.close(second)
    assert not is_free(tmp_path / "second")


def test_a_keeper_that_stands_still_is_replaced(tmp_path: Path, fd_store: FdStore, after: FdStore) -> None:
    """Also one that an earlier daemon made: beside another it would keep what nobody has it drop."""
    files = [locked(tmp_path / name) for name in ("a", "b")]
    fd_store.keep(b"a", files[:1])
    fd_store.close()
    os.close(files[0])
    kept = after.take_over()[b"a"]
    stop(fd_store, after)
    after.keep(b"b", files[1:])
    await_true(lambda: has_ended(fd_store))
    after.close()
    for file in (*kept, files[1]):
        os.close(file)
    assert not is_free(tmp_path / "a")
    assert not is_free(tmp_path / "b")


def test_a_keeper_that_stands_still_lets_go(tmp_path: Path, fd_store: FdStore) -> None:
    """Another host would wait for such a lock until the next one is kept; the others are kept on."""
    files = [locked(tmp_path / name) for name in ("a", "b")]
    for key, file in zip((b"a", b"b"), files, strict=True):
        fd_store.keep(key, [file])
    stop(fd_store, fd_store)
    fd_store.drop(b"a")
    fd_store.close()
    for file in files:
        os.close(file)
    assert is_free(tmp_path / "a")
    assert not is_free(tmp_path / "b")


def test_a_keeper_that_stands_still_gives_nothing(
    tmp_path: Path, fd_store: FdStore, after: FdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended, so that its locks can be taken anew: else this host would lock itself out."""
    file = locked(tmp_path / "lock")
    fd_store.keep(b"key", [file])
    fd_store.close()
    os.close(file)
    stop(fd_store)
    monkeypatch.setattr(keepings, "PATIENCE_S", 0.2)
    assert after.take_over() == {}
    await_true(lambda: has_ended(fd_store))
    assert is_free(tmp_path / "lock")


def test_what_cannot_be_taken_over_is_let_go(tmp_path: Path, fd_store: FdStore, after: FdStore) -> None:
    """Without files left some locks come and are kept on; the others end, so that they can be taken anew."""
    names = [f"lock{number}" for number in range(9)]
    files = {name: locked(tmp_path / name) for name in names}
    for name in names:
        fd_store.keep(name.encode(), [files[name]])
    fd_store.close()
    for file in files.values():
        os.close(file)
    with limited(os.getpid(), 6):
        kept = after.take_over()
    assert 0 < len(kept) < len(names)
    await_true(lambda: has_ended(fd_store))
    after.keep(b"another", [locked(tmp_path / "another")])
    after.close()
    for each in kept.values():
        os.close(each[0])
    assert [is_free(tmp_path / name) for name in names] == [name.encode() not in kept for name in names]


def test_a_keeper_without_files_left_is_replaced(tmp_path: Path, fd_store: FdStore) -> None:
    """One that was made under a lower limit keeps nothing by halves."""
    first = locked(tmp_path / "first")
    fd_store.keep(b"first", [first])
    old = fd_store._process
    assert old is not None
    pair = [locked(tmp_path / "one"), locked(tmp_path / "two")]
    with limited(old.pid, 1):
        fd_store.keep(b"pair", pair)
    assert old.poll() is not None
    fd_store.close()
    for file in (first, *pair):
        os.close(file)
    assert not any(is_free(tmp_path / name) for name in ("first", "one", "two"))


def test_a_thousand_locks_are_kept_and_taken_over(tmp_path: Path, fd_store: FdStore, after: FdStore) -> None:
    """More files than one message between processes takes, and than a shell lets a process have open."""
    keys = [str(number).encode() for number in range(1000)]
    file = locked(tmp_path / "lock")
    with limited(os.getpid(), 100):
        limits.allow_files()
        ours = {key: [os.dup(file), os.dup(file)] for key in keys}
        for key, files in ours.items():
            fd_store.keep(key, files)
        fd_store.close()
        close([file, *chain(*ours.values())])
        theirs = after.take_over()
        close([*chain(*theirs.values())])
    assert list(theirs) == keys
    assert {len(files) for files in theirs.values()} == {2}
    assert not is_free(tmp_path / "lock")


def test_a_keeper_that_was_made_in_vain_ends(tmp_path: Path) -> None:
    """Its daemon was killed before it had anything kept."""
    script = (
        "import sys\nfrom pyvol.host.processes.fd_store import FdStore\nk = FdStore(sys.argv[1], None)\nk._make()\n"
        "print(k._process.pid, flush=True)\nimport os\nos._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True)
    await_true(lambda: not Path(f"/proc/{int(done.stdout)}").exists())


def test_where_no_keeper_was_there_is_nothing(tmp_path: Path) -> None:
    """Not on a new host, and not after a reboot, which leaves the socket and nobody behind it."""
    assert life(tmp_path).take_over() == {}
    life(tmp_path).drop(b"key")


def test_its_directory_may_lie_deep(tmp_path: Path) -> None:
    """The path of a socket may have no more than 107 bytes, and a directory's many more."""
    deep = tmp_path / ("x" * 150)
    deep.mkdir()
    fd_store = life(deep)
    file = locked(deep / "lock")
    fd_store.keep(b"key", [file])
    fd_store.drop(b"key")
    fd_store.close()
    os.close(file)
    assert fd_store._process is not None
    assert fd_store._process.wait(30) == 0
