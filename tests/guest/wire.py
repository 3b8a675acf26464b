"""Calls pyvol as an engine does, with only the standard library: imports take long in a slow guest."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

CALL_TIMEOUT_S = 60.0
NO_LONGER_SUCCESS = 300


class Refused(Exception):
    """The daemon answered with an error; the text is its message."""


class Wire:
    """A daemon behind its socket; each call opens a new connection, as engines do."""

    def __init__(self, socket_path: Path, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._socket_path = socket_path
        self._timeout_s = timeout_s

    def call(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Call one of Docker's verbs, without the prefix `VolumeDriver.`; raise `Refused` on an error."""
        answer: dict[str, Any] = self._request("POST", f"/VolumeDriver.{verb}", fields)
        return answer

    def get(self, path: str) -> Any:
        """Send a GET request to the control API at `/v1/…`."""
        return self._request("GET", path, None)

    def post(self, path: str, **fields: Any) -> Any:
        """Send a POST request to the control API at `/v1/…`."""
        return self._request("POST", path, fields)

    def answers(self) -> bool:
        """Return whether a daemon answers."""
        try:
            self.call("Capabilities")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _request(self, method: str, path: str, fields: dict[str, Any] | None) -> Any:
        connection = http.client.HTTPConnection("localhost", timeout=self._timeout_s)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(self._timeout_s)
            connection.sock.connect(str(self._socket_path))
            connection.request(method, path, None if fields is None else json.dumps(fields))
            reply = connection.getresponse()
            answer = json.loads(reply.read())
        finally:
            connection.close()
        if reply.status >= NO_LONGER_SUCCESS:
            raise Refused(answer["Err"])
        return answer
