"""A shared pool's thread: it mounts the pool, and learns what other hosts do in it."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from pyvol.core.errors import PyvolError
from pyvol.core.ports.host import Log, Monotonic
from pyvol.daemon.background import BackgroundThread


class Timing(NamedTuple):
    """When a watcher works, and how long requests wait for it; all in seconds.

    Attributes:
        stale: how old its news may be when a request needs them.
        every: how often it reads the whole pool, whether or not the stamp has changed.
        retry: how soon it tries again after an error.
        look: how long a List waits until a share answers at all: no List may be slow because a share is away.
        moment: how long a List waits for the news of a share that answers.
        grain: the resolution of a file system's coarsest clock: two changes within it can leave one stamp.
    """

    stale: float
    every: float = 60.0
    retry: float = 5.0
    look: float = 0.04
    moment: float = 0.2
    grain: float = 2.0


class PoolWatcher:
    """A thread that works when the pool has changed and once a minute; more often until a round succeeds.

    Args:
        pool: the pool's name.
        look: returns a stamp that changes with each change in the pool, or None when the pool has no stamp.
        work: what it does after a change; raises `PyvolError` when the pool is out of reach.
        timing: when it works.
        log: the log; it gets each failure once.
        monotonic: seconds that nobody can set.
    """

    def __init__(  # noqa: PLR0913  # the composition root gives each part its name
        self,
        pool: str,
        *,
        look: Callable[[], object],
        work: Callable[[], None],
        timing: Timing,
        log: Log,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._pool = pool
        self._look = look
        self._work = work
        self._timing = timing
        self._log = log
        self._monotonic = monotonic
        self._done = threading.Condition()
        self._rounds = self._answered = 0
        self._begun: float | None = None
        self._worked = self._read = float("-inf")
        self._stamp: object = None
        self._stamped = float("-inf")
        self._is_settled = False
        self._is_asked = False
        self._is_forced = True
        self._error = ""
        self._thread = BackgroundThread(self._run_round, log, f"pool watcher {pool}", self._pause_s)

    def start(self) -> None:
        """Start; the first round begins at once."""
        self._thread.start()

    def wake(self) -> None:
        """Make it work now, whether or not the stamp has changed."""
        self._is_forced = True
        self._thread.wake()

    def stop(self) -> None:
        """Ask it to end after its current work; does not wait."""
        self._thread.stop()

    def join(self, patience_s: float) -> None:
        """Wait for its end, but no longer than this."""
        self._thread.join(patience_s)

    def request_refresh(self) -> None:
        """Make it look for changes if its news are too old; does not wait."""
        if not self._is_fresh() and self._begun is None:
            self._ask()

    def refresh(self) -> None:
        """Wait until its news are fresh enough, but no longer than a moment.

        Does not wait for a round that has already taken longer than that.
        """
        if self._is_fresh():
            return
        with self._done:
            asked, awaited, begun = self._monotonic(), self._rounds + 1, self._begun
            if begun is None:
                begun = asked
                self._ask()
            elif asked - begun >= self._timing.stale:
                awaited += 1
                self._ask()
            if self._done.wait_for(lambda: self._answered >= awaited, begun + self._timing.look - asked):
                self._done.wait_for(lambda: self._rounds >= awaited, begun + self._timing.moment - self._monotonic())

    def _is_fresh(self) -> bool:
        """Return whether no request need ask; after an error the thread itself tries again."""
        return self._monotonic() - self._worked < self._timing.stale or bool(self._error)

    def _ask(self) -> None:
        self._is_asked = True
        self._thread.wake()

    def _pause_s(self) -> float:
        if self._error or not self._rounds:
            return self._timing.retry
        return self._timing.every if self._is_settled or self._stamp is None else self._timing.grain

    def _run_round(self) -> None:
        if not self._is_asked:  # its own pause is over
            self._is_forced = True
        self._is_asked = False
        begun = self._monotonic()
        with self._done:
            self._begun = begun
        try:
            self._round(begun)
        except PyvolError as error:
            self._failed(str(error), None)
        except Exception as error:  # noqa: BLE001  # logged once, and tried again
            self._failed(repr(error), error)
        else:
            self._worked, self._error = begun, ""
        with self._done:
            self._rounds += 1
            self._answered = self._rounds
            self._begun = None
            self._done.notify_all()

    def _round(self, begun: float) -> None:
        stamp = self._look()  # before the work, so that the next look sees what changes during it
        with self._done:
            self._answered = self._rounds + 1
            self._done.notify_all()
        is_due = self._is_forced or begun - self._read >= self._timing.every
        if is_due or stamp is None or stamp != self._stamp or not self._is_settled:
            self._is_forced = False
            self._work()
            self._read = begun
            if stamp != self._stamp:
                self._stamp, self._stamped = stamp, begun
            self._is_settled = begun - self._stamped >= self._timing.grain

    def _failed(self, why: str, error: BaseException | None) -> None:
        if self._thread.is_stopping:
            return  # pyvol closes what the work needs
        if why != self._error:
            self._log.warning("pool is out of reach", pool=self._pool, error=why, exc_info=error)
        self._error, self._stamp = why, None
