"""Locks that outlive a daemon: the process that keeps their files, with real processes."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from deadline import await_true
from fakes import FakeLog
from flocks import is_free, limited, locked
from pyvol.host.processes import limits
from pyvol.host.processes.fd_store import FdStore
from pyvol.host.processes.fd_store_process import SOCKET
from pyvol.host.processes.fds import close

OLD_FD_STORE = """
import os, socket, sys
from contextlib import suppress
def close(files):
    for file in files:
        with suppress(OSError):
            os.close(file)
class Keeper:
    def __init__(self):
        self._kept = {}
    def serve(self, line, listener):
        listener.listen(16)
        while True:
            with line, suppress(OSError):
                while self._answer(line):
                    pass
            if not self._kept:
                return
            line, _ = listener.accept()
    def _answer(self, line):
        message, files, flags, _ = socket.recv_fds(line, 1 << 20, 2)
        key = message[1:]
        answer = b"."
        match message[:1]:
            case b"K":
                close(self._kept.pop(key, []))
                if flags & socket.MSG_CTRUNC:
                    close(files)
                    answer = b"!"
                else:
                    self._kept[key] = files
            case b"D":
                close(self._kept.pop(key, []))
            case b"G":
                for kept, theirs in self._kept.items():
                    socket.send_fds(line, [b"F" + kept], theirs)
            case _:
                return False
        line.sendall(answer)
        return True
Keeper().serve(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))
"""
"""The fd store of the releases before the daemon left the locks to it alone. An upgrade leaves it running."""


def connect(directory: Path, patience_s: float = 10.0) -> FdStore:
    """Return a daemon's connection to the fd store of a directory."""
    return FdStore(str(directory), FakeLog(), patience_s)


def keep(fd_store: FdStore, path: Path, key: bytes = b"key") -> None:
    """Lock a file, and have the fd store alone keep it."""
    file = locked(path)
    fd_store.keep(key, [file])
    os.close(file)


def kill(fd_store: FdStore) -> None:
    """Kill the fd store that a daemon has started."""
    assert fd_store._process is not None
    fd_store._process.kill()
    fd_store._process.wait()


def has_ended(fd_store: FdStore) -> bool:
    """Return whether the fd store that a daemon has started is gone."""
    return fd_store._process is not None and fd_store._process.poll() is not None


def open_locks(directory: Path) -> list[str]:
    """Return the files of a directory that this process has open."""
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [link for link in links if link.startswith(f"{directory}/")]


@pytest.fixture
def fd_store(tmp_path: Path) -> Iterator[FdStore]:
    """A daemon's connection to an fd store, which ends with the test."""
    made = connect(tmp_path)
    yield made
    made.close()
    if made._process is not None:
        kill(made)


@pytest.fixture
def after(tmp_path: Path, fd_store: FdStore) -> Iterator[FdStore]:
    """The connection of the next daemon."""
    assert fd_store._process is None
    made = connect(tmp_path)
    yield made
    made.close()
    if made._process is not None:
        kill(made)


def test_a_lock_outlives_its_daemon(tmp_path: Path, fd_store: FdStore, after: FdStore) -> None:
    """The daemon has no file open. The next daemon gets the open files by their key, and can end the lock."""
    keep(fd_store, tmp_path / "lock")
    assert open_locks(tmp_path) == []
    fd_store.close()
    assert not is_free(tmp_path / "lock")
    assert after.take_over() == [b"key"]
    assert after.has(b"key")
    assert open_locks(tmp_path) == []
    files = after.files(b"key")
    assert files is not None
    assert open_locks(tmp_path) == [str(tmp_path / "lock")]
    close(files)
    after.drop(b"key")
    assert is_free(tmp_path / "lock")
    after.close()
    await_true(lambda: has_ended(fd_store))  # it keeps nothing
    assert connect(tmp_path).take_over() == []


def test_the_last_close_is_the_daemons(tmp_path: Path, fd_store: FdStore) -> None:
    """The last close of a lock on a dead server hangs, and the fd store must never hang."""
    keep(fd_store, tmp_path / "lock")
    files = fd_store.take(b"key")
    assert not fd_store.has(b"key")
    assert not is_free(tmp_path / "lock")
    close(files)
    assert is_free(tmp_path / "lock")
    assert fd_store.take(b"key") == ()
    assert fd_store.files(b"key") is None


def test_a_lock_outlives_a_daemon_that_is_killed(tmp_path: Path) -> None:
    """Kill -9 at any time after the lock is kept: the next daemon has it."""
    script = (
        "import os, sys, fcntl\nfrom pyvol.host.processes.fd_store import FdStore\n"
        "file = os.open(sys.argv[1] + '/lock', os.O_RDWR | os.O_CREAT)\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "FdStore(sys.argv[1], None).keep(b'key', [file])\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not is_free(tmp_path / "lock")
    after = connect(tmp_path)
    assert after.take_over() == [b"key"]
    close(after.take(b"key"))
    assert is_free(tmp_path / "lock")
    after.close()


@pytest.fixture
def old(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The fd store of an earlier release, which has two locks and no daemon."""
    line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(tmp_path / SOCKET))
    with line, ExitStack() as ours:
        ours.enter_context(theirs)
        ours.enter_context(listener)
        numbers = (theirs.fileno(), listener.fileno())
        command = [sys.executable, "-c", OLD_FD_STORE, *map(str, numbers)]
        process = subprocess.Popen(command, pass_fds=numbers)
        ours.close()
        for name in ("a", "b"):
            files = [locked(tmp_path / name), locked(tmp_path / f"{name}@host")]
            socket.send_fds(line, [b"K" + name.encode()], files)
            assert line.recv(1) == b"."
            close(files)
    yield process
    process.kill()
    process.wait()


def test_an_upgraded_daemon_uses_the_old_fd_store(tmp_path: Path, old: "subprocess.Popen[bytes]") -> None:
    """It gets the files of one lock, keeps another, and releases them; the old process stays."""
    daemon = connect(tmp_path)
    lost = threading.Event()
    daemon.when_lost(lost.set)
    assert daemon.take_over() == [b"a", b"b"]
    for _ in range(2):
        files = daemon.files(b"b")
        assert files is not None
        assert sorted(open_locks(tmp_path)) == [str(tmp_path / "b"), str(tmp_path / "b@host")]
        close(files)
    keep(daemon, tmp_path / "c", b"c")
    close(daemon.take(b"a"))
    assert [is_free(tmp_path / name) for name in ("a", "b", "c")] == [True, False, False]
    daemon.close()
    after = connect(tmp_path)
    assert after.take_over() == [b"b", b"c"]
    assert old.poll() is None
    for key in (b"b", b"c"):
        close(after.take(key))
    after.close()
    assert old.wait(30) == 0
    assert is_free(tmp_path / "b")
    assert not lost.is_set()


def test_an_old_fd_store_that_is_killed_is_noticed(tmp_path: Path, old: "subprocess.Popen[bytes]") -> None:
    """Before and after the daemon knows that it is an old one."""
    daemon = connect(tmp_path)
    lost = threading.Event()
    daemon.when_lost(lost.set)
    daemon.take_over()
    close(daemon.files(b"a") or ())
    old.kill()
    assert lost.wait(30)
    assert not daemon.has(b"a")
    assert daemon.files(b"a") is None
    daemon.close()


def test_an_fd_store_that_is_killed_is_noticed_at_once(tmp_path: Path, fd_store: FdStore) -> None:
    """The locks ended with it, which is reported without any request.

    The next lock starts another fd store.
    """
    lost = threading.Semaphore(0)
    fd_store.when_lost(lost.release)
    keep(fd_store, tmp_path / "a", b"a")
    first = fd_store._process
    kill(fd_store)
    assert lost.acquire(timeout=30)
    assert not fd_store.has(b"a")
    assert is_free(tmp_path / "a")
    keep(fd_store, tmp_path / "a", b"a")
    assert fd_store._process is not first
    assert not is_free(tmp_path / "a")
    kill(fd_store)
    assert lost.acquire(timeout=30)


@pytest.mark.parametrize("what", ["descriptor", "thread"])
def test_an_fd_store_whose_end_cannot_be_noticed_keeps_nothing(
    tmp_path: Path, fd_store: FdStore, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """With too many open files or threads the daemon could not notice that a lock has ended."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many") if what == "descriptor" else RuntimeError("can't start new thread")

    file = locked(tmp_path / "lock")
    with monkeypatch.context() as patch:
        if what == "descriptor":
            patch.setattr(os, "dup", refuse)
        else:
            patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match=r"too many|can't start"):
            fd_store.keep(b"key", [file])
    os.close(file)
    assert not fd_store.has(b"key")
    await_true(partial(has_ended, fd_store), "the fd store to end, for it keeps nothing")
    lost = threading.Event()
    fd_store.when_lost(lost.set)
    keep(fd_store, tmp_path / "a", b"a")
    kill(fd_store)
    assert lost.wait(30)


def test_an_fd_store_of_an_earlier_daemon_that_is_killed_is_noticed(
    tmp_path: Path, fd_store: FdStore, after: FdStore
) -> None:
    """The connection by the socket says so as well as the one that the fd store was started with."""
    keep(fd_store, tmp_path / "lock")
    fd_store.close()
    lost = threading.Event()
    after.when_lost(lost.set)
    after.take_over()
    kill(fd_store)
    assert lost.wait(30)
    assert not after.has(b"key")


def test_a_disconnect_does_not_lose_locks(tmp_path: Path, fd_store: FdStore, after: FdStore) -> None:
    """A daemon that stops leaves its locks to the fd store, and reports nothing."""
    lost = threading.Event()
    fd_store.when_lost(lost.set)
    keep(fd_store, tmp_path / "lock")
    before = threading.active_count()
    fd_store.close()
    await_true(lambda: threading.active_count() < before)  # the thread that waits for the end
    assert not lost.is_set()
    with pytest.raises(OSError, match="pyvol is stopping"):
        fd_store.keep(b"late", [0])
    with pytest.raises(OSError, match="pyvol is stopping"):
        fd_store.files(b"key")
    fd_store.drop(b"key")
    assert after.take_over() == [b"key"]


def test_what_is_kept_twice_is_kept_once(tmp_path: Path, fd_store: FdStore) -> None:
    """A volume that is locked once more has its new files kept, and the old ones closed."""
    keep(fd_store, tmp_path / "first")
    keep(fd_store, tmp_path / "second")
    assert is_free(tmp_path / "first")
    assert not is_free(tmp_path / "second")


def ask_for_files(fd_store: FdStore) -> None:
    """Ask for the files of a lock, which a killed fd store does not have any more."""
    assert fd_store.files(b"a") is None


@pytest.mark.parametrize("act", [lambda store: store.drop(b"a"), lambda store: store.take(b"a"), ask_for_files])
def test_an_fd_store_that_does_not_answer_is_killed(tmp_path: Path, act: Callable[[FdStore], object]) -> None:
    """Beside another fd store it would keep what no daemon can release. The loss of its locks is reported."""
    fd_store = connect(tmp_path)
    lost = threading.Event()
    fd_store.when_lost(lost.set)
    for name in ("a", "b"):
        keep(fd_store, tmp_path / name, name.encode())
    process, line = fd_store._process, fd_store._line
    assert process is not None
    assert line is not None
    line.settimeout(0.2)
    process.send_signal(signal.SIGSTOP)
    act(fd_store)
    assert process.wait(30) == -signal.SIGKILL
    assert lost.wait(30)
    assert is_free(tmp_path / "a")
    assert is_free(tmp_path / "b")
    fd_store.close()


def test_an_fd_store_that_does_not_answer_a_lock_is_replaced(tmp_path: Path, fd_store: FdStore, after: FdStore) -> None:
    """The fd store of an earlier daemon too: the new lock is kept, and the lost ones are reported."""
    keep(fd_store, tmp_path / "a", b"a")
    fd_store.close()
    lost = threading.Event()
    after.when_lost(lost.set)
    after.take_over()
    assert fd_store._process is not None
    assert after._line is not None
    after._line.settimeout(0.2)
    fd_store._process.send_signal(signal.SIGSTOP)
    keep(after, tmp_path / "b", b"b")
    await_true(lambda: has_ended(fd_store))
    assert lost.wait(30)
    assert [is_free(tmp_path / name) for name in ("a", "b")] == [True, False]
    assert (after.has(b"a"), after.has(b"b")) == (False, True)


def test_an_fd_store_that_does_not_answer_is_not_taken_over(tmp_path: Path, fd_store: FdStore) -> None:
    """It is killed, so that this host can take its locks again; otherwise the host would lock itself out."""
    keep(fd_store, tmp_path / "lock")
    fd_store.close()
    assert fd_store._process is not None
    fd_store._process.send_signal(signal.SIGSTOP)
    after = connect(tmp_path, 0.2)
    assert after.take_over() == []
    await_true(lambda: has_ended(fd_store))
    assert is_free(tmp_path / "lock")


def test_an_fd_store_that_cannot_be_watched_is_not_taken_over(
    tmp_path: Path, fd_store: FdStore, after: FdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed, like one that does not answer: otherwise it would lock out the next fd store."""
    keep(fd_store, tmp_path / "lock")
    fd_store.close()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="can't start new thread"):
            after.take_over()
    await_true(partial(is_free, tmp_path / "lock"), "the lock to end")
    keep(after, tmp_path / "lock")
    assert after.has(b"key")


def test_locks_are_taken_over_without_free_descriptors(tmp_path: Path, fd_store: FdStore, after: FdStore) -> None:
    """The daemon needs their keys alone, however few files it may have open."""
    for number in range(9):
        files = [locked(tmp_path / f"lock{number}"), locked(tmp_path / f"lock{number}@host")]
        fd_store.keep(str(number).encode(), files)
        close(files)
    fd_store.close()
    with limited(os.getpid(), 4):
        assert len(after.take_over()) == 9
    with limited(os.getpid(), 0), pytest.raises(OSError, match="Too many open files"):
        after.files(b"3")
    found = after.files(b"3")
    assert found is not None
    close(found)
    assert not any(is_free(tmp_path / f"lock{number}") for number in range(9))


def test_the_limit_of_an_fd_store_is_raised(tmp_path: Path, fd_store: FdStore) -> None:
    """An fd store that was started under a lower limit keeps running, and keeps a whole lock."""
    keep(fd_store, tmp_path / "first", b"first")
    process = fd_store._process
    assert process is not None
    pair = [locked(tmp_path / "one"), locked(tmp_path / "two")]
    with limited(process.pid, 1):
        fd_store.keep(b"pair", pair)
        close(pair)
        assert fd_store._process is process
        assert not any(is_free(tmp_path / name) for name in ("first", "one", "two"))


def test_a_thousand_locks_are_kept_and_taken_over(tmp_path: Path, fd_store: FdStore, after: FdStore) -> None:
    """More files than one message between processes takes, and than a shell lets a process have open."""
    keys = [str(number).encode() for number in range(1000)]
    file = locked(tmp_path / "lock")
    with limited(os.getpid(), 100):
        limits.allow_files()
        for key in keys:
            files = [os.dup(file), os.dup(file)]
            fd_store.keep(key, files)
            close(files)
        os.close(file)
        fd_store.close()
        assert after.take_over() == keys
        found = after.files(keys[500])
        assert found is not None
        assert len(found) == 2
        close(found)
    assert not is_free(tmp_path / "lock")


def test_an_fd_store_that_got_nothing_ends(tmp_path: Path) -> None:
    """Its daemon was killed before it had anything kept."""
    script = (
        "import sys\nfrom pyvol.host.processes.fd_store import FdStore\nk = FdStore(sys.argv[1], None)\nk._start()\n"
        "print(k._process.pid, flush=True)\nimport os\nos._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True)
    await_true(lambda: not Path(f"/proc/{int(done.stdout)}").exists())


def test_without_an_fd_store_there_is_nothing(tmp_path: Path) -> None:
    """On a new host, and after a reboot, which leaves the socket without a process."""
    fd_store = connect(tmp_path)
    assert fd_store.take_over() == []
    assert fd_store.files(b"key") is None
    fd_store.drop(b"key")


def test_its_directory_may_be_deep(tmp_path: Path) -> None:
    """The path of a socket may have no more than 107 bytes, and a directory's many more."""
    deep = tmp_path / ("x" * 150)
    deep.mkdir()
    fd_store = connect(deep)
    keep(fd_store, deep / "lock")
    fd_store.drop(b"key")
    fd_store.close()
    assert fd_store._process is not None
    assert fd_store._process.wait(30) == 0
