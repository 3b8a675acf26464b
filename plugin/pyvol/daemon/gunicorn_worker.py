"""The connections: a thread for each, until it is answered and closed."""

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
"""gunicorn's others: they would run two workers at once, or end one in the middle of its requests."""

RECEIVE_S = 5.0
"""From the connection to the end of its request; an engine sends it at once, and who doesn't holds a thread."""
SEND_S = 5
"""How long an answer may stand still; who doesn't read holds a thread too."""
LAST_LOOK_S = 0.05
"""A request that waited for a thread is read all the same, if it is there."""
DRAIN_S = 2.0
DRAIN_BYTES = 64 << 20


class ConnectionWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's threaded worker, with a limit on slow clients, errors below HTTP in JSON too, and closing here."""

    def init_signals(self) -> None:
        """Take what ends a worker, which was held back up to here, and none of the rest."""
        super().init_signals()
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop: requests under way are finished, and those that wait for events are answered."""
        super().handle_exit(sig, frame)
        self.app.stopping()

    def enqueue_req(self, conn: Any) -> None:
        """Hand a new connection to a thread; its time begins here."""
        conn.deadline = time.monotonic() + RECEIVE_S
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Serve a connection, in a thread."""
        again = False
        if conn.wait_for_data(max(conn.deadline - time.monotonic(), LAST_LOOK_S)):
            conn.init()
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_S, 0))
            conn.parser.unreader.sock = _Prompt(conn.sock, conn.deadline)
            again = super().handle(conn)
        if not again:
            self._close(conn)
        return again

    def _close(self, conn: Any) -> None:
        """Close a connection in its own thread.

        gunicorn would do it in the thread that accepts, and wait there for up to two seconds until the client closes
        its side: one slow client would keep all others waiting. What a client still sends is read first, so that it
        gets to read our answer.
        """
        try:
            if conn.parser is not None:
                conn.parser.unreader.sock = conn.sock
                conn.parser.finish_body(time.monotonic() + DRAIN_S, DRAIN_BYTES)
        except (OSError, ParseException) as error:
            self.log.debug("rest of a request not read: %s", error)
        conn.close()
        conn.close = _closed_already

    def handle_error(self, _req: Any, client: socket.socket, _addr: Any, exc: Exception) -> None:
        """Answer what is no HTTP, in JSON."""
        self.log.debug("bad request: %s", exc)
        body = msgspec.json.encode({"Err": f"this is no HTTP request that pyvol can read: {exc}"})
        head = f"HTTP/1.1 500 Bad request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        try:
            client.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)
        except OSError as error:
            self.log.debug("no answer could be sent: %s", error)


class _Prompt:
    """A socket on which a request has to be whole by a deadline; from then on it reads as if the client had closed it.

    No answer goes out any more either: one to half a Get would cost the volume its labels (engine fact 36).
    """

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def recv(self, size: int) -> bytes:
        self._connection.settimeout(max(self._deadline - time.monotonic(), LAST_LOOK_S))
        try:
            return self._connection.recv(size)
        except TimeoutError:
            self._connection.shutdown(socket.SHUT_RDWR)
            return b""
        finally:
            self._connection.settimeout(None)


def _closed_already(*, graceful: bool = False) -> None:
    """Stand in for the second close of a connection, in the thread that accepts."""
