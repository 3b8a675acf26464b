"""Background threads: one lets go of what was removed, one a pool deletes that, one counts what volumes take."""

import threading
from collections.abc import Callable

from pyvol.core.ports.host import Log

EVERY_S = 60.0
STOP_PATIENCE_S = 0.5


class BackgroundThread:
    """A thread that works when it is woken, and once a minute.

    Args:
        work: what it does.
        log: where a failure is written down that nobody foresaw.
        name: the thread's.
    """

    def __init__(self, work: Callable[[], None], log: Log, name: str) -> None:
        self._work = work
        self._log = log
        self._due = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, *, at_once: bool = True) -> None:
        """Begin, with one round at once, or in a minute."""
        if at_once:
            self._due.set()
        self._thread.start()

    def wake(self) -> None:
        """Have it work now."""
        self._due.set()

    def stop(self) -> None:
        """Have it end after what it does now."""
        self._ended = True
        self._due.set()

    def join(self) -> None:
        """Wait a moment for its end; a deletion that takes longer goes on at the next start."""
        if self._thread.is_alive():
            self._thread.join(STOP_PATIENCE_S)

    def _run(self) -> None:
        while True:
            self._due.wait(EVERY_S)
            self._due.clear()
            if self._ended:
                return
            try:
                self._work()
            except Exception as error:  # noqa: BLE001  # a thread that ended would let the trash grow, and say nothing
                self._log.warning("background work failed", exc_info=error)
