"""The thread that follows a shared pool."""

import threading
import time
from collections.abc import Callable

from fakes import FakeJournal
from pyvol.core.errors import StorageFailed
from pyvol.follower import Follower


class Work:
    """Something to do, that can fail and be waited for."""

    def __init__(self) -> None:
        self.rounds = 0
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> None:
        """Do it."""
        self.gate.wait(30)
        self.rounds += 1
        if self.error is not None:
            raise self.error


def wait_until(holds: Callable[[], bool]) -> None:
    """Poll until something is true."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_news_are_asked_for_when_they_are_old() -> None:
    """What is fresh enough costs nothing; what is not is looked for, and waited for no longer than a moment."""
    work = Work()
    follower = Follower("nas", work, 3600, FakeJournal())
    follower.start()
    wait_until(lambda: follower._rounds == 1)
    follower.freshen()
    assert work.rounds == 1
    follower._stale_s = 0
    follower.freshen()
    wait_until(lambda: work.rounds == 2)
    work.gate.clear()
    begun = time.monotonic()
    follower.freshen()
    assert time.monotonic() - begun < 10
    assert work.rounds == 2
    work.gate.set()
    wait_until(lambda: work.rounds == 3)
    follower.stop()
    follower._thread.join(30)
    assert not follower._thread.is_alive()


def test_a_pool_out_of_reach_is_told_of_once_and_asked_no_more_by_lists() -> None:
    """The thread tries again by itself; an unforeseen error does not end it."""
    work, journal = Work(), FakeJournal()
    follower = Follower("nas", work, 0, journal)
    work.error = StorageFailed("nas.lan does not answer")
    follower.start()
    wait_until(lambda: follower._rounds == 1)
    follower.freshen()
    assert work.rounds == 1
    follower.wake()
    wait_until(lambda: follower._rounds == 2)
    assert journal.events == ["pool is out of reach"]
    work.error = RuntimeError("a bug")
    follower.wake()
    wait_until(lambda: follower._rounds == 3)
    work.error = None
    follower.wake()
    wait_until(lambda: follower._rounds == 4)
    assert follower._error == ""
    assert len(journal.events) == 2
    follower.stop()
    follower._thread.join(30)
