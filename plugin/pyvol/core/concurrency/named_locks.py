"""One lock per volume, each wait with a deadline: no volume waits for another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyvol.core.concurrency.bulkhead import STUCK_S, WAIT_S, FairShare
from pyvol.core.errors import Busy
from pyvol.core.ports.host import Monotonic

MOST_WAITING = 48
"""So many of the daemon's 128 threads may wait for stuck locks; other volumes need the rest."""


class _Entry:
    """A lock, the number of threads that hold it or wait for it, and when the holder got it."""

    __slots__ = ("lock", "since", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.since = 0.0


class NamedLocks:
    """Locks by name. A lock exists from its first use until its last.

    Args:
        monotonic: seconds that nobody can set.
        wait_s: how long `hold` waits for a lock.
        stuck_s: how long a holder may keep a lock before few requests may wait for it.
    """

    def __init__(self, monotonic: Monotonic, wait_s: float = WAIT_S, stuck_s: float = STUCK_S) -> None:
        self._monotonic = monotonic
        self._wait_s = wait_s
        self._stuck_s = stuck_s
        self._guard = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._waiting = FairShare(MOST_WAITING)

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def hold(self, name: str, volume: str = "") -> Iterator[None]:
        """Hold the lock of a name in the body; raises `Busy` if it is not free in time.

        Args:
            name: a volume's name, or another key, which cannot be a volume's name.
            volume: for another key: the volume that the error names.
        """
        with self._guard:
            entry = self._entries.setdefault(name, _Entry())
            entry.users += 1
        held, began = False, self._monotonic()
        try:
            held = self._acquire(name, entry)
            if not held:
                raise Busy(
                    "is busy",
                    f"another request has held its lock for more than {int(self._monotonic() - began)} s",
                    "try again",
                    volume=volume or name,
                )
            yield
        finally:
            if held:
                entry.lock.release()
            with self._guard:
                entry.users -= 1
                if not entry.users:
                    del self._entries[name]

    def _acquire(self, name: str, entry: _Entry) -> bool:
        """Wait for a lock. Return False at the deadline, or if enough others wait for stuck holders."""
        deadline = self._monotonic() + self._wait_s
        is_counted = False
        try:
            while not entry.lock.acquire(timeout=max(min(self._stuck_s, deadline - self._monotonic()), 0)):
                now = self._monotonic()
                if now >= deadline:
                    return False
                with self._guard:
                    if not is_counted and now - entry.since >= self._stuck_s:
                        is_counted = self._waiting.acquire(name)
                        if not is_counted:
                            return False
            entry.since = self._monotonic()
            return True
        finally:
            if is_counted:
                with self._guard:
                    self._waiting.release(name)
