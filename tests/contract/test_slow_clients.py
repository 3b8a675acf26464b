"""Clients that send slowly, send a part, or do not read: others do not wait, and a part changes nothing."""

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from served import PATIENCE_S, Served, parse

pytestmark = pytest.mark.one_python

BEGUN = (
    b"",
    b"POST /VolumeDriver.Get HTTP/1.1\r\nHo",
    b"POST /VolumeDriver.Get HTTP/1.1\r\nHost: \r\nContent-Length: 100\r\n\r\n{",
)
"""Parts of a request: nothing, half a head, half a body."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield one daemon for the module."""
    served = Served(tmp_path_factory.mktemp("slow"))
    served.start()
    yield served
    assert served.stop() == 0


def test_a_client_that_does_not_close_delays_no_other(daemon: Served) -> None:
    """Connections that stay open after their answer do not delay new connections."""
    request = b"POST /VolumeDriver.Capabilities HTTP/1.1\r\nHost: \r\nContent-Length: 2\r\n\r\n{}"
    lingering = [socket.socket(socket.AF_UNIX) for _ in range(50)]
    try:
        for connection in lingering:
            connection.settimeout(PATIENCE_S)
            connection.connect(str(daemon.socket))
            connection.sendall(request)
            # Two seconds for each connection would be over a minute and a half.
            assert connection.recv(12) == b"HTTP/1.1 200"
    finally:
        for connection in lingering:
            connection.close()


def test_slow_clients_are_dropped(daemon: Served) -> None:
    """More silent connections than threads are dropped in time, without an answer."""
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


@pytest.mark.parametrize("every_s", [0.1, 0.01])
def test_a_client_that_drips_is_dropped(daemon: Served, every_s: float) -> None:
    """A whole request must arrive in time, not only its next byte."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(daemon.socket))
        with pytest.raises(BrokenPipeError):
            drip(connection, every_s)


def drip(connection: socket.socket, every_s: float) -> None:
    """Send a head that never ends."""
    connection.sendall(b"POST /VolumeDriver.Get HTTP/1.1\r\nX: ")
    for _ in range(int(PATIENCE_S / every_s)):
        connection.sendall(b"x")
        time.sleep(every_s)


CUTS: dict[str, Callable[[bytes], bytes]] = {
    "length": lambda body: b"Content-Length: %d\r\n\r\n%s" % (len(body) + 1, body),
    "chunk": lambda body: b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s" % (len(body) + 1, body),
    "no last chunk": lambda body: b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body),
    "no end of the last chunk": lambda body: b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(body), body),
}
"""Requests whose bodies are cut off, although what arrives of each body is a complete message."""
CHANGES: dict[str, dict[str, object]] = {
    "/VolumeDriver.Create": {"Name": "made"},
    "/VolumeDriver.Mount": {"Name": "kept", "ID": "i"},
    "/VolumeDriver.Unmount": {"Name": "mounted", "ID": "i"},
    "/VolumeDriver.Remove": {"Name": "kept"},
    "/VolumeDriver.Path": {"Name": "kept"},
    "/VolumeDriver.List": {},
    "/VolumeDriver.Capabilities": {},
    "/Plugin.Activate": {},
    "/v1/volumes/kept/set": {"options": {"uid": "7"}},
    "/v1/volumes/kept/trash": {},
    "/v1/volumes/kept/rename": {"new_name": "made"},
    "/v1/trash/empty": {},
}
"""All requests that change something, and the requests whose routes need no body."""


def ask(daemon: Served, path: str, rest: bytes, *, half_close: bool) -> bytes:
    """Send a request whose body ends early; return the daemon's answer, up to the end of the connection."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(daemon.socket))
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: \r\n%s" % (path.encode(), rest))
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
        return b"".join(parts)


def ask_all(
    daemon: Served, requests: Mapping[str, Mapping[str, object]], *, half_close: bool
) -> list[tuple[str, bytes]]:
    """Send each request with each of the cuts, all at once; return the path and the answer of each."""
    asked = [(path, cut(json.dumps(message).encode())) for path, message in requests.items() for cut in CUTS.values()]
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = pool.map(lambda one: ask(daemon, *one, half_close=half_close), asked)
        return [(path, answer) for (path, _), answer in zip(asked, answers, strict=True)]


@pytest.fixture(scope="module")
def volumes(daemon: Served) -> Served:
    """Create a volume, and a mounted one."""
    for name in ("kept", "mounted"):
        daemon.ok("VolumeDriver.Create", {"Name": name})
    daemon.ok("VolumeDriver.Mount", {"Name": "mounted", "ID": "i"})
    return daemon


@pytest.mark.parametrize("half_close", [True, False], ids=["half-closed", "at the deadline"])
def test_a_body_that_was_cut_off_changes_nothing(volumes: Served, *, half_close: bool) -> None:
    """Each verb refuses a body that was cut off, even if the part is a complete message or none is needed."""
    before = state(volumes)
    for path, raw in ask_all(volumes, CHANGES, half_close=half_close):
        reply = parse(raw)
        assert reply.status == (400 if path.startswith("/v1/") else 500)
        assert reply.json["Err"].startswith(f"{path[1:]}: the request's body ")
        assert "pyvol did nothing; send the request again" in reply.json["Err"]
    assert state(volumes) == before


def state(daemon: Served) -> tuple[object, ...]:
    """Return the state that the requests of `CHANGES` could change."""
    with daemon.client() as client:
        return client.volumes(), client.trash(), client.claims().claims


@pytest.mark.parametrize("half_close", [True, False], ids=["half-closed", "at the deadline"])
def test_a_get_that_was_cut_off_is_dropped(volumes: Served, *, half_close: bool) -> None:
    """A Get that was cut off gets no answer: an error would cost the labels (engine facts 1 and 36)."""
    replies = ask_all(volumes, {"/VolumeDriver.Get": {"Name": "kept"}}, half_close=half_close)
    assert replies == [("/VolumeDriver.Get", b"")] * len(CUTS)


def test_clients_that_do_not_read_are_dropped(daemon: Served) -> None:
    """More connections than threads that do not read their answers are dropped in time."""
    # A socket can hold one request and a small answer: these requests and answers are larger.
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
