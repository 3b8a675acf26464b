"""Clients that send slowly, or never, or take no answer: whoever comes after them waits for none of them."""

import socket
import time
from collections.abc import Iterator

import pytest

from served import PATIENCE_S, Served

pytestmark = pytest.mark.one_python

BEGUN = (
    b"",
    b"POST /VolumeDriver.Get HTTP/1.1\r\nHo",
    b"POST /VolumeDriver.Get HTTP/1.1\r\nHost: \r\nContent-Length: 100\r\n\r\n{",
)
"""Of a request: nothing, half a head, half a body."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One daemon for the module."""
    served = Served(tmp_path_factory.mktemp("slow"))
    served.start()
    yield served
    assert served.stop() == 0


def test_a_client_that_does_not_close_delays_nobody(daemon: Served) -> None:
    """Connections that stay open after their answer do not keep the next from being accepted."""
    request = b"POST /VolumeDriver.Capabilities HTTP/1.1\r\nHost: \r\nContent-Length: 2\r\n\r\n{}"
    lingering = [socket.socket(socket.AF_UNIX) for _ in range(50)]
    try:
        for connection in lingering:
            connection.settimeout(PATIENCE_S)
            connection.connect(str(daemon.socket))
            connection.sendall(request)
            # Two seconds for each of them would be over a minute and a half.
            assert connection.recv(12) == b"HTTP/1.1 200"
    finally:
        for connection in lingering:
            connection.close()


def test_slow_clients_delay_nobody_for_long(daemon: Served) -> None:
    """More connections than there are threads, on which a request never comes, are dropped, and without an answer."""
    slow = {socket.socket(socket.AF_UNIX): begun for _ in range(150) for begun in BEGUN}
    try:
        for connection, begun in slow.items():
            connection.settimeout(PATIENCE_S)
            connection.connect(str(daemon.socket))
            connection.sendall(begun)
        daemon.ok("VolumeDriver.Capabilities", {})
        assert {begun: connection.recv(100) for connection, begun in slow.items()} == dict.fromkeys(BEGUN, b"")
    finally:
        for connection in slow:
            connection.close()


def test_a_client_that_drips_is_dropped(daemon: Served) -> None:
    """It is the whole request that has to come in time, not the next byte of it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(daemon.socket))
        with pytest.raises(BrokenPipeError):
            drip(connection)


def drip(connection: socket.socket) -> None:
    """Send a head that has no end."""
    connection.sendall(b"POST /VolumeDriver.Get HTTP/1.1\r\nX: ")
    for _ in range(int(PATIENCE_S / 0.1)):
        connection.sendall(b"x")
        time.sleep(0.1)


def test_clients_that_do_not_read_delay_nobody_for_long(daemon: Served) -> None:
    """More connections than there are threads, whose answers nobody takes, are dropped."""
    # One request fits into a socket, and so does a small answer: these are larger than a socket takes.
    name = "n" * 200
    request = b"POST /VolumeDriver.List HTTP/1.1\r\nHost: \r\nContent-Length: 2\r\n\r\n{}"
    for number in range(900):
        daemon.ok("VolumeDriver.Create", {"Name": f"{name[:190]}-{number}"})
    slow = [socket.socket(socket.AF_UNIX) for _ in range(150)]
    try:
        for connection in slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(str(daemon.socket))
            connection.sendall(request)
        daemon.ok("VolumeDriver.Capabilities", {})
    finally:
        for connection in slow:
            connection.close()
