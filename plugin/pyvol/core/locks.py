"""One lock per volume, each wait with a deadline: no volume waits for another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyvol.core.errors import Busy

WAIT_S = 50.0
"""Below Docker's shortest deadline for a verb that waits here, 60 s for Unmount and Remove (engine fact 14)."""


class _Entry:
    """A lock and how many hold it or wait for it."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


class NamedLocks:
    """Locks by name, made at the first use and gone after the last."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._guard = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def hold(self, name: str, whose: str = "") -> Iterator[None]:
        """Hold the lock of a name; raises `Busy` when it can't be had in time.

        Args:
            name: a volume's, or another key that no volume can have.
            whose: what the error calls it where it is no volume's name.
        """
        with self._guard:
            entry = self._entries.setdefault(name, _Entry())
            entry.users += 1
        held = False
        try:
            held = entry.lock.acquire(timeout=self._wait_s)
            if not held:
                raise Busy(
                    f"{whose or f'volume {name!r}'} is busy: another request holds it for over {self._wait_s:.0f} s; "
                    "see `pyvol doctor`, and try again"
                )
            yield
        finally:
            if held:
                entry.lock.release()
            with self._guard:
                entry.users -= 1
                if not entry.users:
                    del self._entries[name]
