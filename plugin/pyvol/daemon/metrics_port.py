"""A TCP port on 127.0.0.1 for clients that cannot use a Unix socket: one thread, one request at a time.

An engine's request has its own thread, so that nobody who reaches this port can keep an engine waiting.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pyvol.core.ports.host import Log
from pyvol.daemon.background import BackgroundThread

if TYPE_CHECKING:
    from socketserver import TCPServer

HOST = "127.0.0.1"
CLIENT_TIMEOUT_S = 5.0
POLL_S = 0.5
"""How often an idle port checks whether it has to stop."""

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class MetricsPort:
    """Serves an app on a port; without a port it does nothing.

    Args:
        port: the port of 127.0.0.1.
        app: what it serves.
        log: the log.
    """

    def __init__(self, port: int | None, app: WsgiApp, log: Log) -> None:
        self._port = port
        self._app = app
        self._log = log
        self._server: TCPServer | None = None
        self._thread: BackgroundThread | None = None

    def start(self) -> None:
        """Listen. A port that is taken is only a line in the log: volumes matter more than metrics."""
        if self._port is None:
            return
        from socketserver import TCPServer  # noqa: PLC0415  # most daemons have no port
        from wsgiref import simple_server  # noqa: PLC0415  # the same

        class Handler(simple_server.WSGIRequestHandler):
            timeout = CLIENT_TIMEOUT_S

            def log_message(self, *_: object) -> None:
                """Log nothing: a monitor asks all the time."""

        class Server(simple_server.WSGIServer):
            timeout = POLL_S

            def server_bind(self) -> None:
                """Bind, and ask no name server for the name of 127.0.0.1."""
                TCPServer.server_bind(self)
                self.server_name, self.server_port = HOST, self.server_address[1]
                self.setup_environ()

        try:
            self._server = simple_server.make_server(HOST, self._port, self._app, Server, Handler)
        except OSError as error:
            self._log.warning("no metrics on the port", setting="metrics_port", port=self._port, error=str(error))
            return
        self._thread = BackgroundThread(self._server.handle_request, self._log, "metrics port", lambda: 0.0)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end after the current request; does not wait."""
        if self._thread is not None:
            self._thread.stop()

    def join(self, patience_s: float) -> None:
        """Wait for its end, but no longer than this, and free the port."""
        if self._thread is not None and self._server is not None:
            self._thread.join(patience_s)
            self._server.server_close()
