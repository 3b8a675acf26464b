"""Scenarios that mostly wait, each on a machine of its own, run while the other tests of their release go on.

An engine tries an absent plugin for 15 s, once for each thing that it wants of it. Nobody has to watch it wait.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from .machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future

    from .releases import Release

    Scenario = Callable[[Machine], None]

TIMEOUT_S = 300


class Meanwhile:
    """The scenarios under way."""

    def __init__(self, release: Release, image_root: bytes, scenarios: Collection[Scenario]) -> None:
        """Begin them all."""
        self._release = release
        self._image_root = image_root
        self._pool = ThreadPoolExecutor(max(len(scenarios), 1))
        self._running: dict[Scenario, Future[None]] = {
            scenario: self._pool.submit(self._play, scenario) for scenario in scenarios
        }

    def _play(self, scenario: Scenario) -> None:
        # The machine dies with the thread that made it: it begins and ends in this one.
        machine = Machine(self._release, self._image_root)
        try:
            machine.start()
            scenario(machine)
        finally:
            machine.close()

    def finish(self, scenario: Scenario) -> None:
        """Wait for the end of one, and raise what it raised."""
        self._running[scenario].result(TIMEOUT_S)

    def close(self) -> None:
        """Wait for the end of all."""
        self._pool.shutdown()
