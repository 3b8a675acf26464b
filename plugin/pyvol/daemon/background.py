"""Background threads, and the garbage collector that is made of them."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

from pyvol.core.ports.host import Log

EVERY_S = 60.0
STOP_S = 2.0
"""How long a stop waits for all threads. systemd and `docker plugin disable` wait 10 s for the whole stop."""


class Stoppable(Protocol):
    """Something that works in the background."""

    def stop(self) -> None:
        """Ask it to end after its current work; does not wait."""
        ...

    def join(self, patience_s: float) -> None:
        """Wait for its end, but no longer than this."""
        ...


class BackgroundThread:
    """A thread that works when something wakes it, and at intervals.

    Args:
        work: what it does.
        log: the log, for unexpected errors.
        name: the thread's name.
        pause_s: returns how long it waits after its work until it works again.
    """

    def __init__(
        self, work: Callable[[], object], log: Log, name: str, pause_s: Callable[[], float] = lambda: EVERY_S
    ) -> None:
        self._work = work
        self._log = log
        self._pause_s = pause_s
        self._due = threading.Event()
        self.is_stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, *, at_once: bool = True) -> None:
        """Start the thread; it works at once, or after its first pause."""
        if at_once:
            self._due.set()
        self._thread.start()

    def wake(self) -> None:
        """Make it work now; when it is at work, once more after that."""
        self._due.set()

    def stop(self) -> None:
        """Ask it to end after its current work; does not wait."""
        self.is_stopping = True
        self._due.set()

    def join(self, patience_s: float) -> None:
        """Wait for its end, but no longer than this: what takes longer ends with the process."""
        if self._thread.is_alive():
            self._thread.join(patience_s)

    def _run(self) -> None:
        while True:
            self._due.wait(self._pause_s())
            self._due.clear()
            if self.is_stopping:
                return
            try:
                self._work()
            except Exception as error:  # noqa: BLE001  # a thread that ended would work no more, and nobody would know
                self._log.warning("background work failed", exc_info=error)


class GarbageCollector:
    """One thread that looks for garbage, and one thread for each pool that deletes it.

    A deletion takes as long as it takes: on one pool's slow server it holds up no other pool.

    Args:
        log: the log.

    Attributes:
        threads: its threads; none before it was started.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.threads: list[BackgroundThread] = []

    def start(self, collect: Callable[[], None], purges: Mapping[str, Callable[[], bool]]) -> None:
        """Start; each thread works at once.

        Args:
            collect: expires the trash, and clears what else is due.
            purges: by pool, deletes what waits for its deletion there; returns whether it deleted anything.
        """
        collecting = BackgroundThread(collect, self._log, "garbage collector")

        def run(purge: Callable[[], bool]) -> None:
            if purge():
                collecting.wake()  # the pool may still be short of room

        purging = [BackgroundThread(partial(run, purge), self._log, f"purge {pool}") for pool, purge in purges.items()]
        self.threads = [collecting, *purging]
        for thread in self.threads:
            thread.start()

    def wake(self) -> None:
        """Make all threads work now."""
        for thread in self.threads:
            thread.wake()


def stop_all(working: Iterable[Stoppable], patience_s: float = STOP_S) -> None:
    """Stop all and wait until they have ended, for no longer than this in total."""
    stopping = list(working)
    for one in stopping:
        one.stop()
    deadline = time.monotonic() + patience_s
    for one in stopping:
        one.join(max(deadline - time.monotonic(), 0))
