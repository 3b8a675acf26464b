"""What the fd store answers to each message. Other releases send the same letters, so none may change."""

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from deadline import await_true
from flocks import is_free, limited, locked
from pyvol.host.processes.fd_store_server import DONE, DROP, FETCH, FILES, FULL, GIVE, KEEP, FdStoreServer
from pyvol.host.processes.fds import close


class Running:
    """An fd store that runs in a thread of the test.

    Attributes:
        line: the connection of the daemon that started it.
    """

    def __init__(self, directory: Path) -> None:
        self._path = str(directory / "socket")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(self._path)
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stack = ExitStack()
        self._stack.enter_context(listener)
        self._thread = threading.Thread(target=FdStoreServer().serve, args=(theirs, listener), daemon=True)
        self._thread.start()

    def connect(self) -> socket.socket:
        """Return the connection of another daemon."""
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        line.connect(self._path)
        return line

    def has_ended(self) -> bool:
        """Return whether it has ended."""
        return not self._thread.is_alive()

    def close(self) -> None:
        """Wait for its end."""
        self._thread.join(30)
        assert self.has_ended()
        self._stack.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """An fd store, which has to end when its last daemon has dropped everything."""
    made = Running(tmp_path)
    yield made
    made.close()


def ask(line: socket.socket, message: bytes, files: Sequence[int] = ()) -> bytes:
    """Send a message with files, return the answer, and close the files."""
    socket.send_fds(line, [message], files)
    line.settimeout(30)
    answer = line.recv(1)
    close(files)
    return answer


def receive(line: socket.socket, message: bytes) -> dict[bytes, list[int]]:
    """Send a message; return the files of its answers by their keys."""
    line.sendall(message)
    found: dict[bytes, list[int]] = {}
    while True:
        answer, files, _, _ = socket.recv_fds(line, 1 << 16, 2)
        if answer[:1] != FILES:
            assert answer == DONE
            return found
        found[answer[1:]] = files


def test_files_are_kept_given_and_dropped(running: Running, tmp_path: Path) -> None:
    """A key has one set of files: the files that are kept under it later replace the earlier ones."""
    with running.line as line:
        assert ask(line, KEEP + b"a", [locked(tmp_path / "early")]) == DONE
        assert ask(line, KEEP + b"a", [locked(tmp_path / "a"), locked(tmp_path / "a@host")]) == DONE
        assert ask(line, KEEP + b"b", [locked(tmp_path / "b")]) == DONE
        assert [is_free(tmp_path / name) for name in ("early", "a", "a@host", "b")] == [True, False, False, False]
        every = receive(line, GIVE)
        assert {key: len(files) for key, files in every.items()} == {b"a": 2, b"b": 1}
        one = receive(line, FETCH + b"b")
        assert list(one) == [b"b"]
        assert os.path.samestat(os.fstat(one[b"b"][0]), (tmp_path / "b").stat())
        assert receive(line, FETCH + b"nobody") == {}
        for files in (*every.values(), *one.values()):
            close(files)
        assert not is_free(tmp_path / "b")
        for key in (b"a", b"b", b"nobody"):
            assert ask(line, DROP + key) == DONE
        assert is_free(tmp_path / "a")
        assert is_free(tmp_path / "b")


def test_an_fd_store_outlives_the_daemon_that_started_it(running: Running, tmp_path: Path) -> None:
    """It serves the next daemon, and ends with the last one that leaves nothing in it."""
    with running.line as line:
        assert ask(line, KEEP + b"a", [locked(tmp_path / "a")]) == DONE
    with running.connect() as line:
        (files,) = receive(line, GIVE).values()
        close(files)
    assert not is_free(tmp_path / "a")
    assert not running.has_ended()
    with running.connect() as line:
        assert ask(line, DROP + b"a") == DONE
        assert not running.has_ended()
    await_true(running.has_ended)


def test_a_letter_of_a_later_release_makes_it_hang_up(running: Running, tmp_path: Path) -> None:
    """That is how a newer daemon learns with which fd store it talks. The files stay."""
    with running.line as line:
        assert ask(line, KEEP + b"a", [locked(tmp_path / "a")]) == DONE
        assert ask(line, b"?a") == b""
    assert not is_free(tmp_path / "a")
    with running.connect() as line:
        assert ask(line, DROP + b"a") == DONE


def test_a_lock_is_kept_whole_or_not_at_all(running: Running, tmp_path: Path) -> None:
    """An fd store at its limit of open files says that it is full, and keeps none of the two files."""
    pair = [locked(tmp_path / "one"), locked(tmp_path / "two")]
    with running.line as line:
        with limited(os.getpid(), 0):
            assert ask(line, KEEP + b"pair", pair) == FULL
        assert receive(line, GIVE) == {}
        assert is_free(tmp_path / "one")
        assert is_free(tmp_path / "two")
