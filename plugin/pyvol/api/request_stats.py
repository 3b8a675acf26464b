"""Counts requests: how many there were, how they ended and how long they took. Counting costs nothing.

`prometheus_text.py` makes Prometheus' text of them, when Prometheus asks.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import Any, NamedTuple

Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

OUTCOME = "pyvol.outcome"
"""The key of the WSGI environment under which `codec` writes how a request failed."""
OK, REFUSED, FAILED = "ok", "refused", "failed"
"""Done; a mistake of the caller, such as an unknown name; a failure of pyvol or of the machine."""

VERBS = {
    "/Plugin.Activate": "Activate",
    "/v1/events": "events",
    **{
        f"/VolumeDriver.{verb}": verb
        for verb in ("Capabilities", "Create", "Get", "List", "Mount", "Path", "Remove", "Unmount")
    },
}
CONTROL, OTHER = "control", "other"
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""From a Get, a millisecond, to the longest that an engine waits."""


class Timed(NamedTuple):
    """The requests of one verb that ended alike; `counts` has one number more than there are bounds."""

    counts: list[int]
    sum_s: float


class RequestStats:
    """Counts requests by verb and outcome."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timed: dict[tuple[str, str], Timed] = {}

    def add(self, verb: str, outcome: str, took_s: float) -> None:
        """Count one request."""
        with self._lock:
            known = self._timed.get((verb, outcome)) or Timed([0] * (len(BOUNDS_S) + 1), 0.0)
            known.counts[bisect_left(BOUNDS_S, took_s)] += 1
            self._timed[verb, outcome] = known._replace(sum_s=known.sum_s + took_s)

    def read(self) -> Mapping[tuple[str, str], Timed]:
        """Return what was counted."""
        with self._lock:
            return {key: Timed(list(timed.counts), timed.sum_s) for key, timed in self._timed.items()}


def counting(app: WsgiApp, request_stats: RequestStats) -> WsgiApp:
    """Return the app with its requests counted."""

    def serve(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = perf_counter()
        try:
            return app(environ, start_response)
        finally:
            request_stats.add(_verb(environ["PATH_INFO"]), environ.get(OUTCOME, OK), perf_counter() - began)

    return serve


def _verb(path: str) -> str:
    """Return a word for a path; there are few of them, whatever is asked."""
    return VERBS.get(path) or (CONTROL if path.startswith("/v1/") else OTHER)
