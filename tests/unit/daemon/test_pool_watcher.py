"""The thread that follows a shared pool."""

import threading
import time
from collections.abc import Callable

import pytest

from deadline import await_true
from fakes import FakeLog
from pyvol.core.errors import StorageFailed
from pyvol.daemon import pool_watcher as follower_module
from pyvol.daemon.pool_watcher import PoolWatcher


class Work:
    """Something to do, that can fail and be waited for."""

    def __init__(self) -> None:
        self.rounds = 0
        self.error: Exception | None = None
        self.stamp: object = None
        self.gate = threading.Event()
        self.gate.set()

    def look(self) -> object:
        """Tell whether something has changed."""
        return self.stamp

    def __call__(self) -> None:
        """Do it."""
        self.gate.wait(30)
        self.rounds += 1
        if self.error is not None:
            raise self.error


def test_news_are_asked_for_when_they_are_old() -> None:
    """What is fresh enough costs nothing; what is not is looked for, and waited for no longer than a moment."""
    work = Work()
    follower = PoolWatcher("nas", work.look, work, 3600, FakeLog())
    follower.start()
    await_true(lambda: follower._rounds == 1)
    follower.refresh()
    assert work.rounds == 1
    follower._stale_s = 0
    follower.refresh()
    await_true(lambda: work.rounds == 2)
    work.gate.clear()
    begun = time.monotonic()
    follower.refresh()
    assert time.monotonic() - begun < 10
    assert work.rounds == 2
    work.gate.set()
    await_true(lambda: work.rounds == 3)
    follower.stop()
    follower._thread.join(30)
    assert not follower._thread.is_alive()


def test_nothing_new_costs_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the stamp stays what it was, a List has no work done; a new one does, and once more when it has settled."""
    monkeypatch.setattr(follower_module, "GRAIN_S", 0.2)
    monkeypatch.setattr(follower_module, "LOOK_S", 30)
    monkeypatch.setattr(follower_module, "MOMENT_S", 30)
    work = Work()
    work.stamp = "before"
    follower = PoolWatcher("nas", work.look, work, 0, FakeLog())
    follower.start()
    await_true(lambda: follower._is_settled)
    before, rounds = work.rounds, follower._rounds
    assert before > 1
    for _ in range(5):
        follower.refresh()
    assert follower._rounds >= rounds + 5
    assert work.rounds == before
    work.stamp = "after"
    follower.refresh()
    assert work.rounds > before
    await_true(lambda: follower._is_settled)
    before = work.rounds
    follower.wake()
    await_true(lambda: work.rounds == before + 1)
    follower.stop()
    follower._thread.join(30)


def test_a_long_round_is_not_waited_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A List that comes while the follower has been at work for more than a moment is answered at once."""
    monkeypatch.setattr(follower_module, "MOMENT_S", 0.5)
    work = Work()
    work.gate.clear()
    follower = PoolWatcher("nas", work.look, work, 3600, FakeLog())
    follower.start()
    await_true(lambda: follower._begun is not None)
    follower.refresh()
    waited: list[float] = []

    def wait_for(holds: Callable[[], bool], patience_s: float) -> bool:
        waited.append(patience_s)
        return holds()

    monkeypatch.setattr(follower._done, "wait_for", wait_for)
    for _ in range(3):
        follower.refresh()
    assert waited
    assert max(waited) <= 0
    work.gate.set()
    follower.stop()
    follower._thread.join(30)


def test_a_share_that_is_away_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that has answered the look is given the time to tell its news."""
    monkeypatch.setattr(follower_module, "MOMENT_S", 3600)
    work, away = Work(), threading.Event()
    follower = PoolWatcher("nas", lambda: away.wait(60), work, 3600, FakeLog())
    follower.start()
    asking = threading.Thread(target=follower.refresh, daemon=True)
    asking.start()
    asking.join(30)
    assert not asking.is_alive()
    assert work.rounds == 0
    away.set()
    follower.stop()
    follower._thread.join(30)


def test_a_nudge_waits_for_nothing() -> None:
    """A Get has the follower look when its news are old, and is answered meanwhile."""
    work = Work()
    follower = PoolWatcher("nas", work.look, work, 3600, FakeLog())
    follower.start()
    await_true(lambda: follower._rounds == 1)
    follower.request_refresh()
    follower._stale_s = 0
    work.gate.clear()
    follower.request_refresh()
    await_true(lambda: follower._begun is not None)
    assert work.rounds == 1
    follower.request_refresh()  # it is at work already
    work.gate.set()
    await_true(lambda: follower._rounds == 2)
    follower.stop()
    follower._thread.join(30)
    assert work.rounds == 2


def test_a_round_that_began_too_early_is_followed_by_another() -> None:
    """What another host did since it began is news as well, where no age of news is allowed."""
    work = Work()
    work.gate.clear()
    follower = PoolWatcher("nas", work.look, work, 0, FakeLog())
    follower.start()
    await_true(lambda: follower._begun is not None)
    follower.refresh()
    work.gate.set()
    await_true(lambda: work.rounds == 2)
    follower.stop()
    follower._thread.join(30)


def test_a_pool_out_of_reach_is_told_of_once_and_asked_no_more_by_lists() -> None:
    """The thread tries again by itself; an unforeseen error does not end it."""
    work, log = Work(), FakeLog()
    follower = PoolWatcher("nas", work.look, work, 0, log)
    work.error = StorageFailed("nas.lan does not answer")
    follower.start()
    await_true(lambda: follower._rounds == 1)
    follower.refresh()
    assert work.rounds == 1
    follower.wake()
    await_true(lambda: follower._rounds == 2)
    assert log.events == ["pool is out of reach"]
    work.error = RuntimeError("a bug")
    follower.wake()
    await_true(lambda: follower._rounds == 3)
    work.error = None
    follower.wake()
    await_true(lambda: follower._rounds == 4)
    assert follower._error == ""
    assert len(log.events) == 2
    follower.stop()
    follower._thread.join(30)


def test_all_is_read_at_times_however_often_it_is_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists that come more often than once a minute do not keep it from reading what no stamp tells of."""
    monkeypatch.setattr(follower_module, "EVERY_S", 0.3)
    monkeypatch.setattr(follower_module, "GRAIN_S", 0.0)
    work = Work()
    work.stamp = "the same"
    follower = PoolWatcher("nas", work.look, work, 0, FakeLog())
    follower.start()

    def reads_again() -> bool:
        follower.refresh()
        return work.rounds >= 4

    await_true(reads_again)
    follower.stop()
