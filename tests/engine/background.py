"""Scenarios that mostly wait: each runs on its own machine, in parallel with the other tests of the release.

An engine tries for 15 s to reach an absent plugin, once for each request. No test needs to wait for that.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future
    from pathlib import Path

    import pytest

    from .calls import Call, Event
    from .machine import Machine

    Scenario = Callable[[Any], None]

TIMEOUT_S = 600


def find_scenarios(session: pytest.Session, version: str, tier: Path) -> set[Scenario]:
    """Return the scenarios that a tier's tests of a release wait for in this run."""
    marks = [
        item.get_closest_marker("background")
        for item in session.items
        if hasattr(item, "callspec") and item.callspec.params.get("version") == version and tier in item.path.parents
    ]
    return {mark.kwargs["scenario"] for mark in marks if mark}


class Played(NamedTuple):
    """What a scenario leaves: the recorded calls and events, and the root of the pool."""

    entries: list[Call | Event]
    root: Path


class Background:
    """The scenarios that run in the background."""

    def __init__(self, make_machine: Callable[[], Machine], scenarios: Collection[Scenario]) -> None:
        """Start all scenarios."""
        self._make_machine = make_machine
        self._pool = ThreadPoolExecutor(max(len(scenarios), 1))
        self._running: dict[Scenario, Future[Played]] = {
            scenario: self._pool.submit(self._play, scenario) for scenario in scenarios
        }

    def _play(self, scenario: Scenario) -> Played:
        # The machine's namespaces die with the thread that opened them: this thread also closes the machine.
        machine = self._make_machine()
        try:
            machine.start()
            scenario(machine)
            return Played(machine.recorder.entries(), machine.plugin.root)
        finally:
            machine.close()

    def finish(self, scenario: Scenario) -> Played:
        """Wait until one scenario ends, and raise the exception that it raised."""
        return self._running[scenario].result(TIMEOUT_S)

    def close(self) -> None:
        """Wait until all scenarios end."""
        self._pool.shutdown()
