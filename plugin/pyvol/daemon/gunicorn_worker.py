"""Serve each connection in its own thread, until the request is answered and the connection closed."""

import signal
import socket
import struct
import time
from typing import Any

import msgspec
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
IGNORED = (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
"""The other signals of gunicorn: they would run two workers at once, or end one during a request."""

RECEIVE_S = 5.0
"""From the connection to the end of its request.

An engine sends it at once; a slower client holds a thread.
"""
SEND_S = 5
"""How long no byte of an answer may leave. A client that does not read holds a thread too."""
LAST_LOOK_S = 0.05
"""How long a thread that takes a connection up late waits for the request to begin."""
READ_S = 1.0
"""How long a thread that takes a connection up late has to read a request that is there."""
DRAIN_S = 2.0
DRAIN_BYTES = 64 << 20


class ConnectionWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's threaded worker.

    It also limits slow clients, answers errors below HTTP in JSON, and closes a connection in the thread that
    served it.
    """

    def init_signals(self) -> None:
        """Handle the signals that end a worker, which were blocked until now, and ignore the others."""
        super().init_signals()
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop: finish the requests that run, and answer those that wait for events."""
        super().handle_exit(sig, frame)
        self.app.stopping()

    def enqueue_req(self, conn: Any) -> None:
        """Hand a new connection to a thread; its deadline counts from now."""
        conn.deadline = time.monotonic() + RECEIVE_S
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Serve a connection, in a thread."""
        again = False
        if conn.wait_for_data(max(conn.deadline - time.monotonic(), LAST_LOOK_S)):
            conn.init()
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_S, 0))
            conn.parser.unreader.sock = _DeadlineSocket(conn.sock, conn.deadline)
            again = super().handle(conn)
        if not again:
            self._close(conn)
        return again

    def _close(self, conn: Any) -> None:
        """Close a connection in its own thread.

        gunicorn would close it in the thread that accepts connections, and wait there for up to two seconds
        until the client closes its side: one slow client would keep all others waiting. Before the close,
        read what the client still sends: otherwise the client could lose our answer.
        """
        try:
            if conn.parser is not None and not conn.parser.unreader.sock.is_late:
                conn.parser.unreader.sock = conn.sock
                conn.parser.finish_body(time.monotonic() + DRAIN_S, DRAIN_BYTES)
        except (OSError, ParseException) as error:
            self.log.debug("rest of a request not read: %s", error)
        conn.close()
        conn.close = _closed_already

    def handle_error(self, _req: Any, client: socket.socket, _addr: Any, exc: Exception) -> None:
        """Answer in JSON what is not HTTP."""
        self.log.debug("bad request: %s", exc)
        body = msgspec.json.encode({"Err": f"pyvol cannot read this as an HTTP request: {exc}"})
        head = f"HTTP/1.1 500 Bad request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        try:
            client.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)
        except OSError as error:
            self.log.debug("no answer could be sent: %s", error)


class _DeadlineSocket:
    """A socket on which a request has to arrive by a deadline.

    After the deadline it reads as if the client had closed it.

    The request is then cut off: gunicorn drops one without a whole head, and the app refuses one without a
    whole body.

    Attributes:
        is_late: the deadline passed while the request was read.
    """

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = max(deadline, time.monotonic() + READ_S)
        self.is_late = False

    def recv(self, size: int) -> bytes:
        rest_s = self._deadline - time.monotonic()
        if self.is_late or rest_s <= 0:
            self.is_late = True
            return b""
        self._connection.settimeout(rest_s)
        try:
            return self._connection.recv(size)
        except TimeoutError:
            self.is_late = True
            return b""
        finally:
            self._connection.settimeout(None)


def _closed_already(*, graceful: bool = False) -> None:
    """Do nothing: gunicorn closes each connection once more, in the thread that accepts connections."""
