"""The proxy between an engine and pyvol: it records each call, and can act as a plugin that misbehaves.

For the engine, the recorder's socket is the plugin's socket. The socket can listen, refuse connections, or be
absent. The tests can replace the pyvol behind it, so one socket of the engine's leads to many daemons, one
after another.
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

from .calls import Call, Calls, Event, gather
from .messages import Message, read_message

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG = 512


@dataclass(frozen=True)
class Fault:
    """The reply that the next call of a verb gets instead of pyvol's; None means a dropped connection."""

    verb: str
    reply: bytes | None

    def render(self) -> bytes:
        """Return the reply as pyvol sends one."""
        if self.reply is None:
            return b""
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(self.reply)}\r\n\r\n"
        return head.encode() + self.reply


class Recorder:
    """Listens on the socket that the engine uses, and forwards each request to pyvol's socket."""

    def __init__(self, front: Path, back: Path) -> None:
        """Store the socket to listen on and pyvol's socket."""
        self.front = front
        self.back = back
        # A request to a pyvol that is starting waits, as in the queue of a systemd socket.
        self.patience_s = PATIENCE_S
        self._entries: list[Call | Event] = []
        self._faults: deque[Fault] = deque()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        """Listen: from now on the engine finds its plugin."""
        self.front.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.front))
        self._listener.listen(BACKLOG)
        self._start(self._accept, self._listener)

    def close(self, *, unlink: bool = True) -> None:
        """Stop listening and drop every connection; a socket file that stays refuses connections."""
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
        """Whether the recorder listens for an engine."""
        return self._listener is not None

    def forget(self) -> None:
        """Discard the recorded calls and the planned faults."""
        with self._lock:
            self._entries.clear()
            self._faults.clear()
        self.patience_s = PATIENCE_S

    def note(self, what: str) -> None:
        """Record an event between the calls."""
        with self._lock:
            self._entries.append(Event(what))

    def entries(self) -> list[Call | Event]:
        """Return all calls and events since the last `forget`, in order."""
        with self._lock:
            return list(self._entries)

    def calls(self) -> Calls:
        """Return the calls since the last `forget`."""
        return gather(self.entries())

    def await_request(self, verb: str) -> None:
        """Wait until a call of a verb has arrived, answered or not."""
        await_true(lambda: self.calls().of(verb), f"a call of {verb}")

    def drop_next(self, verb: str, *, times: int = 1) -> None:
        """Close the connection of the next calls of a verb, after reading the request."""
        with self._lock:
            self._faults.extend([Fault(verb, None)] * times)

    def answer_next(self, verb: str, reply: bytes, *, times: int = 1) -> None:
        """Answer the next calls of a verb with this reply, without pyvol."""
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
        """Forward one request to pyvol and its reply back; return whether the connection stays open."""
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
        """Return pyvol's reply; None if pyvol closes the connection, or does not listen in time."""
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
        """Connect to pyvol; raise OSError if no process listens."""
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
