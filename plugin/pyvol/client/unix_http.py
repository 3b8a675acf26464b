"""HTTP over a Unix socket, for requests to a daemon and to an engine."""

from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import requests
import requests_unixsocket


class SocketClient:
    """A client of a server that listens on a Unix socket; `with` closes its connections.

    Args:
        socket: the path of the socket; also an attribute.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._session = requests_unixsocket.Session()
        self._session.trust_env = False  # a proxy of the environment cannot reach this socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def request(
        self, method: str, path: str, content: bytes | None, timeout_s: tuple[float, float | None]
    ) -> requests.Response:
        """Send a request, with or without JSON, and return the reply, whatever its status.

        Args:
            method: the HTTP method.
            path: the path of the URL, with its query.
            content: the JSON to send.
            timeout_s: for the connection, and between two parts of the reply; None for no limit.

        Raises:
            requests.RequestException: there is no reply.
        """
        reply: requests.Response = self._session.request(
            method,
            f"http+unix://{quote(str(self.socket), safe='')}{path}",
            data=content,
            headers={} if content is None else {"Content-Type": "application/json"},
            timeout=timeout_s,
            allow_redirects=False,
        )
        return reply
