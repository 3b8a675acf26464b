"""Detects the restart of an engine that sends no Activate, by the start time of the calling process.

A managed plugin runs on while its engine restarts with live-restore, and gets no message (engine fact 33).
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from pyvol.core.ports.host import Catalog

CLOCKS_DIFFER = timedelta(seconds=0.5)
"""The kernel gives the start in hundredths of a second, by another clock.

No engine starts within half a second.
"""


class EngineRestartDetector:
    """Opens a generation when the calling engine started after the newest claim.

    Args:
        catalog: has the claims.
        open_generation: called for each restart.
    """

    def __init__(self, catalog: Catalog, open_generation: Callable[[], None]) -> None:
        self._catalog = catalog
        self._open_generation = open_generation
        self._lock = threading.Lock()
        self._known: datetime | None = None

    def observe(self, started: datetime | None) -> None:
        """Record a call by an engine's process, by the start of that process; None if it is unknown."""
        if started is None:
            return
        with self._lock:
            if self._known is not None and abs(started - self._known) < CLOCKS_DIFFER:
                return
            self._known = started
            claims = self._catalog.claims()
            # An engine older than a claim made the claim or outlived its maker; a restart of pyvol changes
            # nothing.
            if claims and max(claim.since for claim in claims) < started:
                self._open_generation()
