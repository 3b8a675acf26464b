"""Limits how many of the daemon's threads may wait for storage that may never answer."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pyvol.core.errors import Busy
from pyvol.core.ports.host import Monotonic

MOST = 64
"""So many of the daemon's 128 threads may use storage outside the pools; other volumes need the rest."""
STUCK_S = 2.0
"""If no request returns from a storage for this long, it is unresponsive.

Healthy storage answers in milliseconds.
"""
WAIT_S = 50.0
"""Below the shortest deadline of Docker for these verbs, 60 s for Unmount and Remove (engine fact 14)."""


class FairShare:
    """A number of places for keys.

    One key gets at most half of what the others leave, so there is room for all.

    Not safe for threads: the caller needs a lock.

    Args:
        most: the number of places.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def acquire(self, key: str) -> bool:
        """Take a place. Return False if the key already has its share."""
        mine = self._taken[key]
        if mine >= (self._most - self._taken.total() + mine) // 2:
            return False
        self._taken[key] += 1
        return True

    def release(self, key: str) -> None:
        """Give a place back."""
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]


class Bulkhead:
    """Places at storage outside the pools, such as the storage of a `path=`: dead storage holds few threads.

    Args:
        monotonic: seconds that nobody can set.
        most: the number of places.
        stuck_s: a storage from which no request returns for this long is unresponsive.
    """

    def __init__(self, monotonic: Monotonic, most: int = MOST, stuck_s: float = STUCK_S) -> None:
        self._shares = FairShare(most)
        self._monotonic = monotonic
        self._stuck_s = stuck_s
        self._changed = threading.Condition()
        self._moved: dict[str, float] = {}

    @contextmanager
    def acquire(self, storage: str, name: str) -> Iterator[None]:
        """Hold a place at a storage in the body. Raise `Busy` if too many requests have one and none returns.

        Args:
            storage: where it is mounted; empty for storage that needs no place.
            name: the volume.
        """
        if not storage:
            yield
            return
        with self._changed:
            self._await(storage, name)
            self._moved[storage] = self._monotonic()
        try:
            yield
        finally:
            with self._changed:
                self._shares.release(storage)
                self._moved[storage] = self._monotonic()
                self._changed.notify_all()

    def _await(self, storage: str, name: str) -> None:
        began = self._monotonic()
        while not self._shares.acquire(storage):
            left = min(self._moved.get(storage, began) + self._stuck_s, began + WAIT_S) - self._monotonic()
            if left <= 0:
                raise Busy(
                    "is busy",
                    f"the storage at {storage} does not answer, and many requests wait for it",
                    "check the storage, then try again",
                    volume=name,
                )
            self._changed.wait(left)
