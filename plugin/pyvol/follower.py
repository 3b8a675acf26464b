"""A shared pool's own thread: mounts it, and follows what other hosts do in it."""

import threading
import time
from collections.abc import Callable

from pyvol.core.errors import PyvolError
from pyvol.core.ports import Journal

EVERY_S = 60.0
RETRY_S = 5.0
MOMENT_S = 0.2
"""How long a List waits for news."""


class Follower:
    """A thread that works when news are asked for, once a minute, and more often until it has worked once.

    Args:
        pool: the pool's name.
        work: what it does; raises `PyvolError` when the pool is out of reach.
        stale_s: how old news may be.
        journal: where a failure is written down, once.
    """

    def __init__(self, pool: str, work: Callable[[], None], stale_s: float, journal: Journal) -> None:
        self._pool = pool
        self._work = work
        self._stale_s = stale_s
        self._journal = journal
        self._due = threading.Event()
        self._done = threading.Condition()
        self._rounds = 0
        self._worked = float("-inf")
        self._error = ""
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"follow {pool}", daemon=True)

    def start(self) -> None:
        """Begin, with one round at once."""
        self._due.set()
        self._thread.start()

    def wake(self) -> None:
        """Have it work now."""
        self._due.set()

    def stop(self) -> None:
        """End it, when what it does is done."""
        self._ended = True
        self._due.set()

    def freshen(self) -> None:
        """See that news are no older than they may be, or wait for newer ones for a moment."""
        if time.monotonic() - self._worked < self._stale_s or self._error:
            return
        with self._done:
            before = self._rounds
            self._due.set()
            self._done.wait_for(lambda: self._rounds > before, MOMENT_S)

    def _run(self) -> None:
        while True:
            self._due.wait(RETRY_S if self._error or not self._rounds else EVERY_S)
            self._due.clear()
            if self._ended:
                return
            self._round()
            with self._done:
                self._rounds += 1
                self._done.notify_all()

    def _round(self) -> None:
        begun = time.monotonic()
        try:
            self._work()
        except PyvolError as error:
            self._failed(str(error), None)
        except Exception as error:  # noqa: BLE001  # a thread that ended would follow nothing any more, and say nothing
            self._failed(repr(error), error)
        else:
            self._worked, self._error = begun, ""

    def _failed(self, why: str, error: BaseException | None) -> None:
        if why != self._error:
            self._journal.warning("pool is out of reach", pool=self._pool, error=why, exc_info=error)
        self._error = why
