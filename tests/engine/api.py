"""A client of the engine's HTTP API, for work between tests: faster than one `docker` process per call."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path

SUCCESSES = range(200, 300)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        """Store the path of the socket."""
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the Unix socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Api:
    """A client of one engine's API."""

    def __init__(self, path: Path) -> None:
        """Store the path of the API's socket."""
        self.path = path

    def call(self, method: str, target: str, body: object = None, *, timeout_s: float = 120) -> Any:
        """Call one endpoint and return the decoded answer; raise RuntimeError with the engine's message."""
        connection = UnixConnection(self.path, timeout_s)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, target, sent, {"Content-Type": "application/json"} if sent else {})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status not in SUCCESSES:
            raise RuntimeError(f"{method} {target}: {response.status} {text.decode(errors='replace').strip()}")
        return json.loads(text) if text.lstrip()[:1] in (b"{", b"[") else None

    def answers(self) -> bool:
        """Return whether the engine is up."""
        try:
            self.call("GET", "/_ping", timeout_s=5)
        except (OSError, RuntimeError, http.client.HTTPException):
            return False
        return True

    def create_volume(self, name: str, driver: str, labels: dict[str, str]) -> None:
        """Create a volume."""
        self.call("POST", "/volumes/create", {"Name": name, "Driver": driver, "Labels": labels})

    def remove_volume(self, name: str) -> None:
        """Remove a volume."""
        self.call("DELETE", f"/volumes/{quote(name, safe='')}")

    def labels(self) -> dict[str, dict[str, str]]:
        """Return the labels of all volumes."""
        return {volume["Name"]: volume["Labels"] for volume in self.call("GET", "/volumes")["Volumes"]}

    def remove_everything(self) -> None:
        """Remove all containers, then all volumes."""
        for container in self.call("GET", "/containers/json?all=1"):
            self.call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        for volume in self.call("GET", "/volumes")["Volumes"] or []:
            self.remove_volume(volume["Name"])
