"""HTTP over a Unix socket: what asking a daemon and asking an engine have in common."""

from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import requests
import requests_unixsocket


class SocketClient:
    """A server, through its socket; `with` closes what is open of it.

    Args:
        socket: the path that it listens on; also an attribute.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._session = requests_unixsocket.Session()
        self._session.trust_env = False  # no proxy stands between a host and its own socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def request(
        self, method: str, path: str, content: bytes | None, timeout_s: tuple[float, float | None]
    ) -> requests.Response:
        """Send a request, with JSON or without, and return the reply, whatever its status.

        Args:
            method: HTTP's.
            path: what is asked for, with its query.
            content: JSON.
            timeout_s: for the connection, and between two parts of the reply; None: as long as it takes.

        Raises:
            requests.RequestException: there is none.
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
