"""Connections to a managed plugin that look like connections from the plugin's engine.

A managed plugin identifies its engine by the process that connects. The recorder connects from a process
namespace that the plugin cannot see. Therefore a process beside the engine opens the connections and passes
them to the recorder; it lives as long as the engine.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from deadline import await_true

if TYPE_CHECKING:
    from pathlib import Path

    from .namespace import Namespace, Resident

DIAL = """
import socket, sys
front, back = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(front)
    listener.listen(512)
    while True:
        asked, _ = listener.accept()
        with asked, socket.socket(socket.AF_UNIX) as made:
            try:
                made.connect(back)
            except OSError:
                continue
            socket.send_fds(asked, [b"."], [made.fileno()])
"""


class Dialler:
    """Connects to one socket from inside a namespace, with one process per run of the engine."""

    def __init__(self, namespace: Namespace, back: Path) -> None:
        """Store the socket to connect to."""
        self._namespace = namespace
        self._back = back
        self._runs = 0
        self._process: Resident | None = None

    @property
    def _front(self) -> Path:
        return self._namespace.directory / f"dial-{self._runs}.sock"

    def restart(self) -> None:
        """Start a new connecting process, because the engine has just started."""
        self.end()
        self._runs += 1
        log = self._namespace.directory / "dial.log"
        command = [sys.executable, "-c", DIAL, str(self._front), str(self._back)]
        self._process = self._namespace.spawn(command, log=log, env={})
        await_true(self._front.exists, "the dialler to listen")

    def end(self) -> None:
        """End the connecting process, because the engine ends."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def dial(self) -> socket.socket:
        """Return a new connection; raise OSError if no process listens."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self._front))
            _, made, _, _ = socket.recv_fds(asking, 1, 1)
        if not made:
            raise ConnectionRefusedError(str(self._back))
        return socket.socket(fileno=made[0])
