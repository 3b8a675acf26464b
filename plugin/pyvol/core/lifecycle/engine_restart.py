"""An engine's new life, told by when the process that calls was started: some plugins never get an Activate.

A managed plugin runs on while its engine restarts with live-restore, and nothing is said to it (engine fact 33).
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from pyvol.core.ports.host import Catalog

CLOCKS_DIFFER = timedelta(seconds=0.5)
"""The start is known to the hundredth of a second, and by another clock; no engine is up within half a second."""


class EngineRestartDetector:
    """Opens a generation when an engine calls that is younger than every claim.

    Args:
        catalog: the claims.
        open_generation: called for each new life that is seen.
    """

    def __init__(self, catalog: Catalog, open_generation: Callable[[], None]) -> None:
        self._catalog = catalog
        self._open_generation = open_generation
        self._lock = threading.Lock()
        self._known: datetime | None = None

    def observe(self, started: datetime | None) -> None:
        """Take note of a call by an engine's process; None when its start can't be told."""
        if started is None:
            return
        with self._lock:
            if self._known is not None and abs(started - self._known) < CLOCKS_DIFFER:
                return
            self._known = started
            claims = self._catalog.claims()
            # One that is older than a claim has made it, or has outlived who did: pyvol's own restart changes nothing.
            if claims and max(claim.since for claim in claims) < started:
                self._open_generation()
