"""The client: one new connection per call, with the bytes that dockerd sends.

It uses raw sockets, so that only the server's time is measured. The clock stops when the reply is complete,
as for the engine, and before the connection is closed.
"""

import json
import re
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

HEAD = (
    "POST /{route} HTTP/1.1\r\n"
    "Host: \r\n"
    "User-Agent: Go-http-client/1.1\r\n"
    "Content-Length: {length}\r\n"
    "Accept: application/vnd.docker.plugins.v1.2+json\r\n"
    "\r\n"
)
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
END_OF_HEAD = b"\r\n\r\n"
RECEIVE_BYTES = 1 << 18
PATIENCE_S = 150.0


class BadAnswerError(Exception):
    """A reply that must not be measured, because its status is not 200."""


def request(verb: str, content: Mapping[str, object] | None = None) -> bytes:
    """Return the bytes of one VolumeDriver request, in the format of Go's encoder."""
    body = json.dumps(content or {}, separators=(",", ":")).encode() + b"\n"
    return HEAD.format(route=f"VolumeDriver.{verb}", length=len(body)).encode() + body


def complete(reply: bytes | bytearray) -> bool:
    """Return whether an HTTP reply is complete."""
    end = reply.find(END_OF_HEAD)
    if end < 0:
        return False
    if length := CONTENT_LENGTH.search(reply, 0, end):
        return len(reply) >= end + len(END_OF_HEAD) + int(length[1])
    return CHUNKED.search(reply, 0, end) is not None and reply.endswith(b"0\r\n\r\n")


def checked(reply: bytes, asked: bytes) -> bytes:
    """Return a successful reply; raise BadAnswerError for any other."""
    if not reply.startswith(b"HTTP/1.1 200"):
        raise BadAnswerError(f"{asked[:60]!r}… got the answer {reply[:600]!r}")
    return reply


def exchange(path: Path, asked: bytes) -> tuple[float, bytes]:
    """Call on a new connection; return the seconds until the reply was complete, and the reply."""
    begun = time.perf_counter()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(path))
        connection.sendall(asked)
        reply = bytearray()
        while part := connection.recv(RECEIVE_BYTES):
            reply += part
            if complete(reply):
                break
        took = time.perf_counter() - begun
    return took, bytes(reply)


def timed(path: Path, asked: bytes) -> float:
    """Return the seconds of one successful call."""
    took, reply = exchange(path, asked)
    checked(reply, asked)
    return took


def ask(path: Path, verb: str, content: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return the answer of one successful call."""
    asked = request(verb, content)
    _, reply = exchange(path, asked)
    answer: dict[str, object] = json.loads(checked(reply, asked).partition(END_OF_HEAD)[2])
    return answer


class Caller:
    """One of many clients that one thread serves at the same time."""

    def __init__(self, path: Path, asked: bytes) -> None:
        """Connect and send the request."""
        self.asked = asked
        self.reply = b""
        self.begun = time.perf_counter()
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.connect(str(path))
        self.connection.sendall(asked)

    def finished(self) -> bool:
        """Receive available data; return whether the reply is complete."""
        part = self.connection.recv(RECEIVE_BYTES)
        self.reply += part
        return not part or complete(self.reply)


def crowd(path: Path, asked: Iterator[bytes], clients: int, calls: int) -> list[float]:
    """Return the seconds of each of `calls` calls, made by `clients` clients at the same time."""
    took: list[float] = []
    with selectors.DefaultSelector() as selector:

        def start() -> None:
            caller = Caller(path, next(asked))
            selector.register(caller.connection, selectors.EVENT_READ, caller)

        for _ in range(min(clients, calls)):
            start()
        started = min(clients, calls)
        while len(took) < calls:
            for key, _ in selector.select(PATIENCE_S):
                caller: Caller = key.data
                if not caller.finished():
                    continue
                took.append(time.perf_counter() - caller.begun)
                selector.unregister(caller.connection)
                caller.connection.close()
                checked(caller.reply, caller.asked)
                if started < calls:
                    started += 1
                    start()
    return took
