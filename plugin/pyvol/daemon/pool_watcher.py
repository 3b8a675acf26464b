"""A shared pool's own thread: mounts it, and follows what other hosts do in it."""

import threading
import time
from collections.abc import Callable

from pyvol.core.errors import PyvolError
from pyvol.core.ports.host import Log

EVERY_S = 60.0
RETRY_S = 5.0
LOOK_S = 0.04
"""How long a List waits for a share to answer at all: nobody is to feel one that is away."""
MOMENT_S = 0.2
"""How long it waits for the news of one that answers."""
GRAIN_S = 2.0
"""The coarsest clock of a file system: two changes within it can leave one and the same stamp."""


class PoolWatcher:
    """A thread that works when there are news, once a minute, and more often until it has worked once.

    Args:
        pool: the pool's name.
        look: returns a stamp that is another after each change in the pool, or None when that can't be told.
        work: what it does then; raises `PyvolError` when the pool is out of reach.
        stale_s: how old news may be.
        log: where a failure is written down, once.
    """

    def __init__(
        self, pool: str, look: Callable[[], object], work: Callable[[], None], stale_s: float, log: Log
    ) -> None:
        self._pool = pool
        self._look = look
        self._work = work
        self._stale_s = stale_s
        self._log = log
        self._due = threading.Event()
        self._done = threading.Condition()
        self._rounds = self._answered = 0
        self._begun: float | None = None
        self._worked = self._read = float("-inf")
        self._stamp: object = None
        self._stamped = float("-inf")
        self._is_settled = False
        self._is_forced = True
        self._error = ""
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"follow {pool}", daemon=True)

    def start(self) -> None:
        """Begin, with one round at once."""
        self._due.set()
        self._thread.start()

    def wake(self) -> None:
        """Have it work now, whatever a look would say."""
        self._is_forced = True
        self._due.set()

    def stop(self) -> None:
        """End it, when what it does is done."""
        self._ended = True
        self._due.set()

    def request_refresh(self) -> None:
        """Have it look, where news are older than they may be, and wait for nothing."""
        if not self._is_fresh() and self._begun is None:
            self._due.set()

    def refresh(self) -> None:
        """See that news are no older than they may be, or wait for newer ones for a moment.

        A round that has been under way for longer than that is waited for by nobody.
        """
        if self._is_fresh():
            return
        with self._done:
            asked, awaited, begun = time.monotonic(), self._rounds + 1, self._begun
            if begun is None:
                begun = asked
                self._due.set()
            elif asked - begun >= self._stale_s:
                awaited += 1
                self._due.set()
            if self._done.wait_for(lambda: self._answered >= awaited, begun + LOOK_S - asked):
                self._done.wait_for(lambda: self._rounds >= awaited, begun + MOMENT_S - time.monotonic())

    def _is_fresh(self) -> bool:
        """Tell whether nobody need ask; who could not be asked is asked again by the thread itself."""
        return time.monotonic() - self._worked < self._stale_s or bool(self._error)

    def _run(self) -> None:
        while True:
            if not self._due.wait(self._pause_s()):
                self._is_forced = True
            self._due.clear()
            if self._ended:
                return
            with self._done:
                self._begun = time.monotonic()
            self._round(self._begun)
            with self._done:
                self._rounds += 1
                self._answered = self._rounds
                self._begun = None
                self._done.notify_all()

    def _pause_s(self) -> float:
        if self._error or not self._rounds:
            return RETRY_S
        return EVERY_S if self._is_settled or self._stamp is None else GRAIN_S

    def _round(self, begun: float) -> None:
        try:
            stamp = self._look()  # before the work: what changes meanwhile is seen by the next look
            with self._done:
                self._answered = self._rounds + 1
                self._done.notify_all()
            is_due = self._is_forced or begun - self._read >= EVERY_S
            if is_due or stamp is None or stamp != self._stamp or not self._is_settled:
                self._is_forced = False
                self._work()
                self._read = begun
                if stamp != self._stamp:
                    self._stamp, self._stamped = stamp, begun
                self._is_settled = begun - self._stamped >= GRAIN_S
        except PyvolError as error:
            self._failed(str(error), None)
        except Exception as error:  # noqa: BLE001  # a thread that ended would follow nothing any more, and say nothing
            self._failed(repr(error), error)
        else:
            self._worked, self._error = begun, ""

    def _failed(self, why: str, error: BaseException | None) -> None:
        if why != self._error:
            self._log.warning("pool is out of reach", pool=self._pool, error=why, exc_info=error)
        self._error, self._stamp = why, None
