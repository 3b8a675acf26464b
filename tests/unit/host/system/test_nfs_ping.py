"""A NULL call distinguishes an NFS server that answers from other programs on its port."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from nullserver import NullServer
from pyvol.host.system import nfs_ping

ACCEPTED = (1, 0, 0, 0, 0)


def reply(call: bytes, *fields: int) -> bytes:
    """Return an RPC reply to a call, as one fragment."""
    return struct.pack(f"!I4s{len(fields)}I", 0x80000000 | 4 + 4 * len(fields), call[4:8], *fields)


@contextmanager
def listening(serve: Callable[[socket.socket, bytes], object]) -> Iterator[int]:
    """Serve one connection; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            line, _ = listener.accept()
            with line:
                serve(line, line.recv(1024))

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_a_server_that_answers_is_alive() -> None:
    """The result is how long the answer took."""
    server = NullServer()
    assert 0 < nfs_ping.probe("127.0.0.1", server.port, 10.0) < 10
    server.stop()


def test_an_answer_in_pieces_counts() -> None:
    """TCP may split it anywhere."""

    def serve(line: socket.socket, call: bytes) -> None:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        whole = reply(call, *ACCEPTED)
        line.sendall(whole[:7])
        threading.Event().wait(0.05)
        line.sendall(whole[7:])

    with listening(serve) as port:
        assert nfs_ping.probe("127.0.0.1", port, 10.0) > 0.05


def test_a_server_that_hangs_up_is_dead() -> None:
    """For example a proxy whose server is gone."""
    with listening(lambda _, __: None) as port, pytest.raises(ConnectionResetError, match="closed the connection"):
        nfs_ping.probe("127.0.0.1", port, 10.0)


@pytest.mark.parametrize("answer", [lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", lambda call: reply(call, 0, 0, 0)])
def test_another_program_on_the_port_is_not_an_nfs_server(answer: Callable[[bytes], bytes]) -> None:
    """A web server, or an RPC message that is not a reply."""
    error = pytest.raises(ConnectionError, match="is not an NFS server")
    with listening(lambda line, call: line.sendall(answer(call))) as port, error:
        nfs_ping.probe("127.0.0.1", port, 10.0)


def test_a_server_that_is_silent_is_dead() -> None:
    """The answer is late: the time-out ends the wait."""
    done = threading.Event()
    with listening(lambda _, __: done.wait(30)) as port:
        with pytest.raises(TimeoutError):
            nfs_ping.probe("127.0.0.1", port, 0.2)
        done.set()
