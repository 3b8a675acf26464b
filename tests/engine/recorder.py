"""The proxy between an engine and pyvol: it records each call, and can stand in for a plugin that misbehaves.

Its socket is the plugin's socket for the engine. It can be there, be refused, or be gone; and what stands behind it can
be exchanged, so that an engine that knows its plugin by one socket sees many lives of it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deadline import INTERVAL_S, PATIENCE_S, await_true

from .calls import Call, Event, Story, gather
from .messages import Message, read_message

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG = 512


@dataclass(frozen=True)
class Fault:
    """What the next call of a verb gets instead of pyvol's answer; no reply means a dropped connection."""

    verb: str
    reply: bytes | None

    def render(self) -> bytes:
        """Write the reply as pyvol would have sent it."""
        if self.reply is None:
            return b""
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(self.reply)}\r\n\r\n"
        return head.encode() + self.reply


class Recorder:
    """Listens where the engine looks for the plugin, and passes on to where pyvol listens."""

    def __init__(self, front: Path, back: Path) -> None:
        """Take the socket to listen on and the socket of pyvol."""
        self.front = front
        self.back = back
        # A request for a pyvol that is just starting waits, as it does in the queue of a systemd socket.
        self.patience_s = PATIENCE_S
        self._entries: list[Call | Event] = []
        self._faults: deque[Fault] = deque()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        """Listen: from here on the engine finds its plugin."""
        self.front.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.front))
        self._listener.listen(BACKLOG)
        self._start(self._accept, self._listener)

    def close(self, *, unlink: bool = True) -> None:
        """Stop listening and drop every connection; a socket file that stays refuses whoever tries it."""
        self._drop(self._listener)
        self._listener = None
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._threads.clear()
        if unlink:
            self.front.unlink(missing_ok=True)

    def _drop(self, listener: socket.socket | None) -> None:
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    @property
    def listening(self) -> bool:
        """Whether an engine would be answered."""
        return self._listener is not None

    def forget(self) -> None:
        """Start a new story, with no fault planned."""
        with self._lock:
            self._entries.clear()
            self._faults.clear()
        self.patience_s = PATIENCE_S

    def note(self, what: str) -> None:
        """Put an event between the calls."""
        with self._lock:
            self._entries.append(Event(what))

    def entries(self) -> list[Call | Event]:
        """Everything since the last forget, in order."""
        with self._lock:
            return list(self._entries)

    def story(self) -> Story:
        """Return the calls since the last forget."""
        return gather(self.entries())

    def await_request(self, verb: str) -> None:
        """Wait until a call of a verb has arrived, answered or not."""
        await_true(lambda: self.story().of(verb), f"a call of {verb}")

    def drop_next(self, verb: str, *, times: int = 1) -> None:
        """Close the connection of the next calls of a verb, after the request was read."""
        with self._lock:
            self._faults.extend([Fault(verb, None)] * times)

    def answer_next(self, verb: str, reply: bytes, *, times: int = 1) -> None:
        """Give the next calls of a verb this reply, past pyvol."""
        with self._lock:
            self._faults.extend([Fault(verb, reply)] * times)

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads = [known for known in self._threads if known.is_alive()] + [thread]
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):
                while self._pass_on(connection):
                    pass
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _pass_on(self, connection: socket.socket) -> bool:
        """Take one request to pyvol and its reply back; say whether the connection goes on."""
        request = read_message(connection)
        if request is None:
            return False
        method, path, _ = request.first_line.split(" ", 2)
        call = Call(method, path.lstrip("/"), request.headers, request.body)
        with self._lock:
            self._entries.append(call)
            fault = next((planned for planned in self._faults if planned.verb == call.verb), None)
            if fault is not None:
                self._faults.remove(fault)
                call.asked_pyvol = False
        reply = self._ask(request) if fault is None else None
        raw = reply.raw if reply is not None else fault.render() if fault is not None else b""
        if not raw:
            return False
        if reply is not None:
            call.reply_headers = reply.headers
            call.reply = reply.body
            call.status = int(reply.first_line.split(" ", 2)[1])
        elif fault is not None and fault.reply is not None:
            call.reply = fault.reply
            call.status = 200
        connection.sendall(raw)
        return reply is not None and not reply.closes

    def _ask(self, request: Message) -> Message | None:
        """Ask pyvol; None when it hangs up, or stays away beyond the patience."""
        upstream = self._connect()
        if upstream is None:
            return None
        with upstream:
            try:
                upstream.sendall(request.raw)
                return read_message(upstream)
            except OSError:
                return None

    def dial(self) -> socket.socket:
        """Connect to pyvol; raises OSError where nobody listens."""
        upstream = socket.socket(socket.AF_UNIX)
        try:
            upstream.connect(str(self.back))
        except OSError:
            upstream.close()
            raise
        return upstream

    def _connect(self) -> socket.socket | None:
        end = time.monotonic() + self.patience_s
        while self.listening and time.monotonic() < end:
            with suppress(OSError):
                return self.dial()
            time.sleep(INTERVAL_S)
        return None
