"""A daemon that serves on a private socket, and the bytes that an engine sends it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pyvol.client.pyvol_api import Client

PATIENCE_S = 60.0
ACCEPT = "application/vnd.docker.plugins.v1.2+json"


class Reply(NamedTuple):
    """A parsed answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


class Served:
    """`pyvol serve` with a directory of the test.

    Args:
        root: the directory of its pool, its catalog and its socket.
        settings: PYVOL_* variables without their prefix, such as `TRASH_KEEP="1s"`.

    Attributes:
        prefix: words before the daemon's command, for example to run it in other namespaces.
    """

    prefix: Sequence[str] = ()

    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root / "pool"
        self.socket = root / "p.sock"
        self.log = root / "log"
        self._settings = {f"PYVOL_{key}": value for key, value in settings.items()}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the daemon and of the CLI's commands."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYVOL_")}
        own = {"PYVOL_CONFIG": "/dev/null", "PYVOL_SOCKET": str(self.socket), "PYVOL_ROOT": str(self.root)}
        return {**inherited, **own, **self._settings}

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start the process without waiting for it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "pyvol", "serve"], env=self.environment, stdout=log, stderr=log
            )
        return self.process

    def start(self) -> None:
        """Start the process, and wait until it answers."""
        process = self.launch()
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if self.call("VolumeDriver.Capabilities", {}).status == 200:
                    return
            except OSError:
                assert process.poll() is None, self.log.read_text()
                time.sleep(0.02)
        raise TimeoutError(self.log.read_text())

    def stop(self) -> int:
        """Stop the daemon as systemd does; return the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """Kill the daemon at once."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def send(self, raw: bytes) -> bytes:
        """Send bytes on a new connection, and return all bytes until the daemon closes it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(str(self.socket))
            connection.sendall(raw)
            parts = []
            while part := connection.recv(1 << 20):
                parts.append(part)
            return b"".join(parts)

    def post(self, path: str, body: bytes, headers: str = "") -> Reply:
        """Send a POST as dockerd does: an empty Host, no Content-Type (engine fact 3)."""
        head = f"POST /{path} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\nAccept: {ACCEPT}\r\n"
        raw = self.send(f"{head}Content-Length: {len(body)}\r\n{headers}\r\n".encode() + body)
        return parse(raw)

    def call(self, verb: str, message: Any = None) -> Reply:
        """Send a verb of the protocol with a JSON body, or without a body."""
        return self.post(verb, b"" if message is None else json.dumps(message).encode() + b"\n")

    def ok(self, verb: str, message: Any = None) -> Any:
        """Send a verb that must succeed; return its reply."""
        reply = self.call(verb, message)
        assert reply.status == 200, reply
        assert not reply.json.get("Err"), reply
        return reply.json

    def client(self) -> Client:
        """Return a client of the daemon's control API."""
        return Client(self.socket)

    def cli(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command of the CLI against the daemon."""
        return subprocess.run(
            [sys.executable, "-m", "pyvol", *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


def parse(raw: bytes) -> Reply:
    """Parse an HTTP/1.1 reply."""
    head, _, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
    return Reply(int(status_line.split(" ")[1]), headers, body)
