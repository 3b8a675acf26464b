"""A registry on loopback, which engines talk to without TLS."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from .deadline import await_true
from .namespace import Namespace
from .releases import SYSTEM_PATH

if TYPE_CHECKING:
    from .namespace import Resident

LOOPBACK = "127.0.0.1"
CONFIGURATION = """
version: 0.1
log: {{accesslog: {{disabled: true}}, level: error}}
storage: {{filesystem: {{rootdirectory: "{directory}"}}}}
http: {{addr: "{address}"}}
"""


class Registry:
    """One registry; what is pushed to it goes with it."""

    def __init__(self) -> None:
        """Choose its port."""
        self._namespace = Namespace()
        self._process: Resident | None = None
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            self._port = probe.getsockname()[1]
        self.address = f"{LOOPBACK}:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._namespace.open()
        directory = self._namespace.directory
        settings = directory / "registry.yaml"
        settings.write_text(CONFIGURATION.format(directory=directory / "data" / "registry", address=self.address))
        log = directory / "registry.log"
        process = self._process = self._namespace.spawn(
            ["docker-registry", "serve", str(settings)], log=log, env={"PATH": SYSTEM_PATH}
        )
        await_true(lambda: self._listens() or not process.alive, "the registry to listen")
        if not process.alive:
            raise RuntimeError(f"docker-registry did not start: {log.read_text()}")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self._port)) == 0

    def close(self) -> None:
        """End it."""
        self._namespace.close()
        if self._process is not None:
            self._process.kill()
