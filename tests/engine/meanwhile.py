"""Scenarios that mostly wait, each on a machine of its own, run while the other tests of their release go on.

An engine tries an absent plugin for 15 s, once for each thing that it wants of it. Nobody has to watch it wait.
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
        item.get_closest_marker("meanwhile")
        for item in session.items
        if hasattr(item, "callspec") and item.callspec.params.get("version") == version and tier in item.path.parents
    ]
    return {mark.kwargs["scenario"] for mark in marks if mark}


class Played(NamedTuple):
    """What is left of a scenario: what was said, and about which pool."""

    entries: list[Call | Event]
    root: Path


class Meanwhile:
    """The scenarios under way."""

    def __init__(self, make_machine: Callable[[], Machine], scenarios: Collection[Scenario]) -> None:
        """Begin them all."""
        self._make_machine = make_machine
        self._pool = ThreadPoolExecutor(max(len(scenarios), 1))
        self._running: dict[Scenario, Future[Played]] = {
            scenario: self._pool.submit(self._play, scenario) for scenario in scenarios
        }

    def _play(self, scenario: Scenario) -> Played:
        # The machine dies with the thread that made it: it begins and ends in this one.
        machine = self._make_machine()
        try:
            machine.start()
            scenario(machine)
            return Played(machine.recorder.entries(), machine.plugin.root)
        finally:
            machine.close()

    def finish(self, scenario: Scenario) -> Played:
        """Wait for the end of one, and raise what it raised."""
        return self._running[scenario].result(TIMEOUT_S)

    def close(self) -> None:
        """Wait for the end of all."""
        self._pool.shutdown()
