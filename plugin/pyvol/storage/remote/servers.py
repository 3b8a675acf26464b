"""The NFS servers of this host."""

import threading
from collections.abc import Collection

from pyvol.core.ports.host import Log
from pyvol.storage.remote.server import Server


class Servers:
    """All servers of this host, by host and port.

    Args:
        timeout_s: see `Server`.
        log: the log.
        worker: the module that workers run.
    """

    def __init__(self, timeout_s: float, log: Log, *, worker: str) -> None:
        self._timeout_s = timeout_s
        self._worker = worker
        self._log = log
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int | None], Server] = {}

    def at(self, host: str, port: int | None) -> Server:
        """Return the server at a host and port."""
        with self._lock:
            known = self._known.get((host, port))
            if known is None:
                known = Server(host, port, self._timeout_s, self._log, worker=self._worker)
                self._known[host, port] = known
            return known

    def answering(self) -> dict[tuple[str, str], bool]:
        """Return whether each server answers, as far as is known, by its host and port."""
        return {(server.host, server.port): not server.is_down() for server in self._all()}

    def asked(self) -> list[Server]:
        """Return the servers that anybody has asked for something."""
        return [server for server in self._all() if server.was_asked()]

    def retire(self, used: Collection[Server]) -> None:
        """End workers that had nothing to do lately, and forget servers that have no pool or volume any more.

        Otherwise a name that was misspelt once would be a dead server for doctor and Prometheus for ever.
        """
        for server in self._all():
            if server in used:
                server.retire()
            else:
                server.stop()
        with self._lock:
            self._known = {key: server for key, server in self._known.items() if server in used}

    def stop(self) -> None:
        """End all idle workers."""
        for server in self._all():
            server.stop()

    def _all(self) -> list[Server]:
        with self._lock:
            return list(self._known.values())
