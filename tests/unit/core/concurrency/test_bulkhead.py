"""How many wait for what may be dead."""

import threading
import time
from contextlib import ExitStack

import pytest

from pyvol.core.concurrency.bulkhead import Bulkhead, FairShare
from pyvol.core.errors import Busy


def test_a_share_is_half_of_what_others_leave() -> None:
    """Whoever takes all that it gets, there is something for the next, and never all is taken."""
    shares = FairShare(64)
    taken = {key: sum(shares.acquire(key) for _ in range(100)) for key in "abcd"}
    assert taken == {"a": 32, "b": 16, "c": 8, "d": 4}
    shares.release("d")
    assert [shares.acquire("d"), shares.acquire("d")] == [True, False]


def test_storage_that_lets_nobody_go_is_not_waited_for() -> None:
    """The next is told at once which it is; elsewhere, and in the pools, nobody notices (promise 4)."""
    bulkhead = Bulkhead(time.monotonic, most=4, stuck_s=0.05)
    with ExitStack() as stuck:
        for name in "ab":
            stuck.enter_context(bulkhead.acquire("/mnt/dead", name))
        for _ in range(2):
            with pytest.raises(Busy, match="volume 'c' has to wait: what is mounted on /mnt/dead keeps"):
                stuck.enter_context(bulkhead.acquire("/mnt/dead", "c"))
        for storage in ("/mnt/well", *[""] * 10):
            stuck.enter_context(bulkhead.acquire(storage, "d"))
    with bulkhead.acquire("/mnt/dead", "c"):
        pass


def test_storage_that_is_slow_and_lets_some_go_is_waited_for() -> None:
    """As long as each gets its turn nobody is turned away, however many come."""
    bulkhead = Bulkhead(time.monotonic, most=2, stuck_s=5)
    done: list[int] = []

    def come(number: int) -> None:
        with bulkhead.acquire("/mnt/slow", "v"):
            time.sleep(0.01)
            done.append(number)

    threads = [threading.Thread(target=come, args=(number,), daemon=True) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == list(range(20))
