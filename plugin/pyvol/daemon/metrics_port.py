"""A port of this host's own for those who can't ask a Unix socket: one thread, one request at a time.

The requests of engines have threads of their own, so that nobody who reaches this port can keep an engine waiting.
"""

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pyvol.core.ports.host import Log

if TYPE_CHECKING:
    from socketserver import TCPServer

HOST = "127.0.0.1"
CLIENT_TIMEOUT_S = 5.0

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class MetricsPort:
    """Serves an app on a port; does nothing without one.

    Args:
        port: of 127.0.0.1.
        app: what is asked there.
        log: the log.
    """

    def __init__(self, port: int | None, app: WsgiApp, log: Log) -> None:
        self._port = port
        self._app = app
        self._log = log
        self._server: TCPServer | None = None

    def start(self) -> None:
        """Listen; a port that can't be had is told in the log, for volumes are worth more than numbers."""
        if self._port is None:
            return
        from socketserver import TCPServer  # noqa: PLC0415  # most have no port
        from wsgiref import simple_server  # noqa: PLC0415  # the same

        class Handler(simple_server.WSGIRequestHandler):
            timeout = CLIENT_TIMEOUT_S

            def log_message(self, *_: object) -> None:
                """Say nothing: it is asked all the time."""

        class Server(simple_server.WSGIServer):
            def server_bind(self) -> None:
                """Bind, and ask no name server what 127.0.0.1 is called."""
                TCPServer.server_bind(self)
                self.server_name, self.server_port = HOST, self.server_address[1]
                self.setup_environ()

        try:
            server = simple_server.make_server(HOST, self._port, self._app, Server, Handler)
        except OSError as error:
            self._log.warning("no metrics on the port", setting="metrics_port", port=self._port, error=str(error))
            return
        self._server = server
        threading.Thread(target=server.serve_forever, name="loopback", daemon=True).start()

    def stop(self) -> None:
        """Give the port back."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
