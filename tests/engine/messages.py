"""HTTP/1.1 messages from a stream socket, byte for byte, as far as engines and plugins use the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

CHUNK = 65536
END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True)
class Message:
    """A request or a reply: its first line, its headers in order, its body."""

    raw: bytes
    first_line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header with this name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def closes(self) -> bool:
        """Whether the sender closes the connection after this message."""
        return (self.header("connection") or "").lower() == "close"


def read_message(stream: socket.socket) -> Message | None:
    """Return one message, or None if the peer closes the connection before the message is complete."""
    data = b""
    while END_OF_HEAD not in data:
        piece = stream.recv(CHUNK)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(END_OF_HEAD)
    first_line, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = int(next((value for name, value in headers if name.lower() == "content-length"), 0))
    while len(body) < length:
        piece = stream.recv(CHUNK)
        if not piece:
            return None
        body += piece
    return Message(raw=head + END_OF_HEAD + body, first_line=first_line, headers=headers, body=body)
