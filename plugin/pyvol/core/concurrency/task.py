"""A piece of work that takes a while: how far it is, and whether it has to end early.

Safe to use from any thread.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Progress(NamedTuple):
    """How far a task is.

    Attributes:
        done: how much is done.
        of: how much there is; it may be an estimate, and 0 means that nobody knows yet.
        doing: what the task is at, in a few words.
    """

    done: int = 0
    of: int = 0
    doing: str = ""


class Task:
    """The handle that a piece of work gets: it reports its progress here, and asks here whether to end.

    Attributes:
        progress: how far the work is.
        reason: why the work has to end early; empty while it may continue.
        is_cut_short: whether the work has seen that it has to end early.
    """

    def __init__(self) -> None:
        self.progress = Progress()
        self.reason = ""
        self.is_cut_short = False
        self._stops: list[Callable[[], None]] = []
        self._guard = threading.Lock()

    def report(self, done: int, of: int, doing: str = "") -> None:
        """Record how far the work is."""
        self.progress = Progress(done, of, doing)

    def must_end(self) -> bool:
        """Return whether the work has to end now.

        If it has, the task counts as cut short, whatever it returns.
        """
        self.is_cut_short = bool(self.reason)
        return self.is_cut_short

    def cancel(self, reason: str) -> None:
        """Make the work end early; does not wait for its end. Safe to call twice."""
        with self._guard:
            self.reason = self.reason or reason
            for stop in self._stops:
                stop()

    @contextmanager
    def on_cancel(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` when the task is cancelled while the body runs, or at once if it is cancelled already.

        `stop` is for work that cannot ask `must_end`, such as a child process: `stop` kills it.
        """
        with self._guard:
            self._stops.append(stop)
            if self.reason:
                stop()
        try:
            yield
        finally:
            with self._guard:
                self._stops.remove(stop)
