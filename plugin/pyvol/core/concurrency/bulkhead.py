"""How many of the daemon's threads may wait for what may never come: storage that is dead, and who waits for it."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pyvol.core.errors import Busy
from pyvol.core.ports.host import Monotonic

MOST = 64
"""So many of the daemon's 128 threads may be at storage that is not pyvol's own; other volumes need some."""
STUCK_S = 2.0
"""Storage that lets nobody go for longer may be dead; where it is well that takes milliseconds."""
WAIT_S = 50.0
"""Below Docker's shortest deadline for a verb that waits here, 60 s for Unmount and Remove (engine fact 14)."""


class FairShare:
    """So many of something, each for a key: one key gets at most half of what the others leave, so that all get some.

    Whoever uses them has a lock of its own.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def acquire(self, key: str) -> bool:
        """Take one; False where the key has its share."""
        mine = self._taken[key]
        if mine >= (self._most - self._taken.total() + mine) // 2:
            return False
        self._taken[key] += 1
        return True

    def release(self, key: str) -> None:
        """Give one back."""
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]


class Bulkhead:
    """Turns at storage that is not pyvol's own, such as that of a `path=`: what is dead keeps some threads only.

    Args:
        monotonic: seconds that nobody can set.
        most: how many there are.
        stuck_s: how long storage may let nobody go until it is taken for dead.
    """

    def __init__(self, monotonic: Monotonic, most: int = MOST, stuck_s: float = STUCK_S) -> None:
        self._shares = FairShare(most)
        self._monotonic = monotonic
        self._stuck_s = stuck_s
        self._changed = threading.Condition()
        self._moved: dict[str, float] = {}

    @contextmanager
    def acquire(self, storage: str, name: str) -> Iterator[None]:
        """Be at a storage in the body, for a volume; raises `Busy` where too many are, and it lets none of them go.

        Args:
            storage: where it is mounted; empty for none.
            name: the volume's.
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
                    f"volume {name!r} has to wait: what is mounted on {storage} keeps many requests waiting; see that "
                    "it answers, and try again"
                )
            self._changed.wait(left)
