"""The thread that watches a shared pool."""

import threading
from collections.abc import Callable, Iterator

import pytest

from deadline import await_true
from fakes import FakeClock, FakeLog
from pyvol.core.errors import StorageFailed
from pyvol.daemon.pool_watcher import PoolWatcher, Timing

PATIENCE_S = 30.0
NEVER_S = 3600.0


class Watched:
    """A pool's work, which can fail and be held up, and the watchers of it.

    Attributes:
        stamp: what a look returns; an event is waited for first.
        gate: the work waits for it.
    """

    def __init__(self) -> None:
        self.rounds = 0
        self.error: Exception | None = None
        self.stamp: object = None
        self.gate = threading.Event()
        self.gate.set()
        self.clock = FakeClock()
        self.log = FakeLog()
        self._watchers: list[PoolWatcher] = []

    def watcher(self, timing: Timing, monotonic: Callable[[], float] | None = None) -> PoolWatcher:
        """Return a watcher, started, whose time stands still unless another clock is given."""
        made = PoolWatcher(
            "nas",
            look=self._look,
            work=self._work,
            timing=timing,
            log=self.log,
            monotonic=monotonic or self.clock.steady,
        )
        self._watchers.append(made)
        made.start()
        return made

    def close(self) -> None:
        """End them all."""
        self.gate.set()
        if isinstance(self.stamp, threading.Event):
            self.stamp.set()
        for watcher in self._watchers:
            watcher.stop()
        for watcher in self._watchers:
            watcher.join(PATIENCE_S)
            assert not watcher._thread._thread.is_alive()

    def _look(self) -> object:
        if isinstance(self.stamp, threading.Event):
            self.stamp.wait(PATIENCE_S)
        return self.stamp

    def _work(self) -> None:
        self.gate.wait(PATIENCE_S)
        self.rounds += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A pool that is there."""
    made = Watched()
    yield made
    made.close()


def returns(call: Callable[[], None]) -> bool:
    """Return whether a call returns."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    return not thread.is_alive()


def test_a_list_asks_only_for_news_that_are_too_old(watched: Watched) -> None:
    """A List starts a round only if the view is old, and waits for the round only for a moment."""
    watcher = watched.watcher(Timing(stale=60))
    await_true(lambda: watcher._rounds == 1)
    watcher.refresh()
    assert watched.rounds == 1
    watched.clock.forward(seconds=60)
    watcher.refresh()
    await_true(lambda: watched.rounds == 2)
    await_true(lambda: watcher._begun is None)
    watched.clock.forward(seconds=60)
    watched.gate.clear()
    assert returns(watcher.refresh)
    assert watched.rounds == 2
    watched.gate.set()
    await_true(lambda: watched.rounds == 3)


def test_an_unchanged_stamp_has_no_work_done(watched: Watched) -> None:
    """A List reads the pool only after the stamp has changed, and once more when it has settled."""
    watched.stamp = "before"
    watcher = watched.watcher(Timing(stale=0, look=PATIENCE_S, moment=PATIENCE_S, grain=1, every=NEVER_S))
    await_true(lambda: watcher._rounds == 1)
    watched.clock.forward(seconds=1)
    watcher.refresh()
    assert watcher._is_settled
    before, rounds = watched.rounds, watcher._rounds
    assert before >= 2
    for _ in range(5):
        watcher.refresh()
    assert watcher._rounds == rounds + 5
    assert watched.rounds == before
    watched.stamp = "after"
    watcher.refresh()
    assert watched.rounds == before + 1
    watched.clock.forward(seconds=1)
    watcher.refresh()
    assert watched.rounds == before + 2
    assert watcher._is_settled
    watcher.wake()
    await_true(lambda: watched.rounds == before + 3)


def test_no_list_waits_for_a_round_that_has_long_been_under_way(watched: Watched) -> None:
    """A List that comes more than a moment after the round began is answered at once."""
    watched.gate.clear()
    watcher = watched.watcher(Timing(stale=NEVER_S, look=NEVER_S, moment=NEVER_S))
    await_true(lambda: watcher._begun is not None)
    watched.clock.forward(seconds=NEVER_S)
    for _ in range(3):
        assert returns(watcher.refresh)
    assert watched.rounds == 0


def test_no_list_waits_for_a_share_that_does_not_answer(watched: Watched) -> None:
    """Only a share that has answered the look gets the time to tell its news."""
    watched.stamp = threading.Event()
    watcher = watched.watcher(Timing(stale=NEVER_S, moment=NEVER_S))
    assert returns(watcher.refresh)
    assert watched.rounds == 0


def test_a_request_for_a_refresh_waits_for_nothing(watched: Watched) -> None:
    """A Get has the watcher look when its news are too old, and is answered in the meantime."""
    watcher = watched.watcher(Timing(stale=60))
    await_true(lambda: watcher._rounds == 1)
    watcher.request_refresh()
    assert watched.rounds == 1
    watched.clock.forward(seconds=60)
    watched.gate.clear()
    watcher.request_refresh()
    await_true(lambda: watcher._begun is not None)
    assert watched.rounds == 1
    watcher.request_refresh()  # it is at work already
    watched.gate.set()
    await_true(lambda: watcher._rounds == 2)
    assert watched.rounds == 2


def test_a_round_that_began_too_early_is_followed_by_another(watched: Watched) -> None:
    """If a view may have no age at all, a List needs a round that begins after the List."""
    watched.gate.clear()
    watcher = watched.watcher(Timing(stale=0))
    await_true(lambda: watcher._begun is not None)
    watcher.refresh()
    watched.gate.set()
    await_true(lambda: watched.rounds == 2)


def test_the_log_gets_each_failure_once_and_no_list_asks_a_pool_that_is_away(watched: Watched) -> None:
    """The thread tries again by itself; an error that nobody foresaw does not end it."""
    watched.error = StorageFailed("nas.lan does not answer")
    watcher = watched.watcher(Timing(stale=0))
    await_true(lambda: watcher._rounds == 1)
    watcher.refresh()
    assert watched.rounds == 1
    watcher.wake()
    await_true(lambda: watcher._rounds == 2)
    assert watched.log.events == ["pool is out of reach"]
    watched.error = RuntimeError("a bug")
    watcher.wake()
    await_true(lambda: watcher._rounds == 3)
    watched.error = None
    watcher.wake()
    await_true(lambda: watcher._rounds == 4)
    assert watcher._error == ""
    assert len(watched.log.events) == 2


def test_the_whole_pool_is_read_at_intervals_whatever_the_stamp_says(watched: Watched) -> None:
    """Frequent Lists do not keep the watcher from reading changes that no stamp shows."""
    watched.stamp = "the same"
    watcher = watched.watcher(Timing(stale=0, look=PATIENCE_S, moment=PATIENCE_S, grain=0, every=NEVER_S))
    await_true(lambda: watcher._rounds == 1)
    for rounds in (1, 2, 3):
        watcher.refresh()
        assert watched.rounds == rounds
        watched.clock.forward(seconds=NEVER_S)
        watcher.refresh()
        assert watched.rounds == rounds + 1


def test_it_works_again_by_itself_after_its_pause(watched: Watched) -> None:
    """Nobody has to ask: after an error it tries again soon, and after a success once in an interval."""
    watched.stamp = "the same"
    watched.error = StorageFailed("nas.lan does not answer")
    watched.watcher(Timing(stale=NEVER_S, every=0.01, retry=0.01, grain=0))
    await_true(lambda: watched.rounds >= 2)
    watched.error = None
    rounds = watched.rounds
    await_true(lambda: watched.rounds >= rounds + 3)


def test_what_fails_because_pyvol_stops_is_not_logged(watched: Watched) -> None:
    """A stop closes the catalog under a slow watcher, whose error then says nothing about the pool."""
    watched.error = StorageFailed("pyvol is stopping")
    watched.gate.clear()
    watcher = watched.watcher(Timing(stale=0))
    await_true(lambda: watcher._begun is not None)
    watcher.stop()
    watcher.join(0.01)
    assert watcher._thread._thread.is_alive()
    watched.close()
    assert watched.rounds == 1
    assert watched.log.events == []
