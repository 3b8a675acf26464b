"""The real pyvol: one daemon process in the engine's namespace, its commands, its control socket."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deadline import await_true
from pyvol.client.pyvol_api import Client

from .api import UnixConnection
from .messages import read_message

if TYPE_CHECKING:
    from pathlib import Path

    from .namespace import Namespace, Resident

ASK_CAPABILITIES = (
    b"POST /VolumeDriver.Capabilities HTTP/1.1\r\nHost: \r\nConnection: close\r\nContent-Length: 3\r\n\r\n{}\n"
)


@dataclass(frozen=True, order=True)
class Claimed:
    """A claim from the output of `pyvol claims`."""

    volume: str
    mount_id: str
    count: int
    stale: bool


class Plugin:
    """Starts, ends and calls pyvol; its data outlives each of its processes."""

    def __init__(self, namespace: Namespace) -> None:
        """Set the paths of the plugin's socket, pool and log."""
        self.socket = namespace.directory / "pyvol.sock"
        self.root = namespace.directory / "pool"
        self.log = namespace.directory / "pyvol.log"
        self._namespace = namespace
        self.settings: dict[str, str] = {}
        self._process: Resident | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the daemon and of every command."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYVOL_")}
        return inherited | {"PYVOL_SOCKET": str(self.socket), "PYVOL_CONFIG": "/dev/null"} | self.settings

    @property
    def alive(self) -> bool:
        """Whether the daemon runs."""
        return self._process is not None and self._process.alive

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        places = ["--socket", str(self.socket), "--root", str(self.root), "--state-dir", str(self.root)]
        self._process = self._namespace.spawn(
            [sys.executable, "-m", "pyvol", "serve", *places], log=self.log, env=self.environment
        )
        await_true(lambda: self._answers() or not self.alive, "pyvol to answer")
        if not self.alive:
            raise RuntimeError(f"pyvol did not start:\n{self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """Stop the daemon as systemd does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the daemon with SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self, **settings: str) -> None:
        """Restart the daemon with these settings as PYVOL_* variables."""
        self.stop()
        self.settings = settings
        self.start()

    def wait(self) -> int:
        """Wait for a daemon that ends without a signal; return its exit status."""
        assert self._process is not None
        return self._process.wait()

    def collect(self) -> None:
        """Collect the exit status of a daemon that ended with its namespace."""
        if self._process is not None:
            self._process.kill()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send(number)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        # Capabilities, because an Activate looks like the start of an engine.
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.socket))
                connection.sendall(ASK_CAPABILITIES)
                return read_message(connection) is not None
            except OSError:
                return False

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a pyvol command against this daemon."""
        return subprocess.run(
            [sys.executable, "-m", "pyvol", *words],
            check=False,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def ask(self, *words: str) -> Any:
        """Run a pyvol command that must succeed, and return its decoded output."""
        done = self.run(*words, "--json")
        if done.returncode:
            raise AssertionError(f"pyvol {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def post(self, verb: str, message: dict[str, object]) -> None:
        """Send the daemon a request that must succeed, past the engine and the recorder."""
        connection = UnixConnection(self.socket, timeout_s=60)
        try:
            connection.request("POST", f"/{verb}", json.dumps(message))
            response = connection.getresponse()
            reply = response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise AssertionError(f"{verb}: {reply.decode()}")

    def data(self, volume: str) -> Path:
        """Return the directory that containers see as the volume."""
        return self.root / "volumes" / volume / "_data"

    def claims(self) -> list[Claimed]:
        """Return all claims, sorted, with the request of `pyvol claims` but without starting the command."""
        with Client(self.socket) as client:
            return sorted(
                Claimed(claim.volume, claim.mount_id, claim.count, claim.stale) for claim in client.claims().claims
            )
