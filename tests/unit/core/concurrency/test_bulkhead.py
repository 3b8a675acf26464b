"""How many requests may wait for storage that does not answer."""

import threading
import time
from contextlib import ExitStack

import pytest

from pyvol.core.concurrency.bulkhead import Bulkhead, FairShare
from pyvol.core.errors import Busy


def test_a_share_is_half_of_what_others_leave() -> None:
    """Each key can take all that it gets, and there is still a place for the next key."""
    shares = FairShare(64)
    taken = {key: sum(shares.acquire(key) for _ in range(100)) for key in "abcd"}
    assert taken == {"a": 32, "b": 16, "c": 8, "d": 4}
    shares.release("d")
    assert [shares.acquire("d"), shares.acquire("d")] == [True, False]


def test_no_request_waits_for_storage_that_does_not_answer() -> None:
    """The next request fails at once and names the storage; no other storage is affected (promise 4)."""
    bulkhead = Bulkhead(time.monotonic, most=4, stuck_s=0.05)
    with ExitStack() as stuck:
        for name in "ab":
            stuck.enter_context(bulkhead.acquire("/mnt/dead", name))
        for _ in range(2):
            with pytest.raises(Busy, match="volume 'c' is busy: the storage at /mnt/dead does not answer"):
                stuck.enter_context(bulkhead.acquire("/mnt/dead", "c"))
        for storage in ("/mnt/well", *[""] * 10):
            stuck.enter_context(bulkhead.acquire(storage, "d"))
    with bulkhead.acquire("/mnt/dead", "c"):
        pass


def test_requests_wait_for_storage_that_is_slow() -> None:
    """While requests return from a storage, every request gets its place, however many there are."""
    bulkhead = Bulkhead(time.monotonic, most=2, stuck_s=5)
    done: list[int] = []

    def request(number: int) -> None:
        with bulkhead.acquire("/mnt/slow", "v"):
            time.sleep(0.01)
            done.append(number)

    threads = [threading.Thread(target=request, args=(number,), daemon=True) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == list(range(20))
