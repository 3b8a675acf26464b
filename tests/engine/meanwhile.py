"""Scenarios that mostly wait, each on a machine of its own, run while the other tests of their release go on.

An engine tries an absent plugin for 15 s, once for each thing that it wants of it. Nobody has to watch it wait.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from .machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future
    from pathlib import Path

    from .calls import Call, Event
    from .releases import Release

    Scenario = Callable[[Machine], None]

TIMEOUT_S = 300


class Played(NamedTuple):
    """What is left of a scenario: what was said, and about which pool."""

    entries: list[Call | Event]
    root: Path


class Meanwhile:
    """The scenarios under way."""

    def __init__(self, release: Release, image_root: bytes, scenarios: Collection[Scenario]) -> None:
        """Begin them all."""
        self._release = release
        self._image_root = image_root
        self._pool = ThreadPoolExecutor(max(len(scenarios), 1))
        self._running: dict[Scenario, Future[Played]] = {
            scenario: self._pool.submit(self._play, scenario) for scenario in scenarios
        }

    def _play(self, scenario: Scenario) -> Played:
        # The machine dies with the thread that made it: it begins and ends in this one.
        machine = Machine(self._release, self._image_root)
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
