"""One lock per volume, each wait with a deadline."""

import threading
import time

import pytest

from pyvol.core.concurrency.named_locks import MOST_WAITING, NamedLocks
from pyvol.core.errors import Busy


def test_one_name_excludes_and_another_does_not() -> None:
    """No volume waits for another (promise 4); the error names the busy volume."""
    locks = NamedLocks(time.monotonic, wait_s=0.05)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with locks.hold("v"):
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(30)
    with locks.hold("w"):
        assert len(locks) == 2
    with pytest.raises(Busy, match="volume 'v' is busy"), locks.hold("v"):
        pass
    leave.set()
    thread.join(30)
    with locks.hold("v"):
        pass
    assert len(locks) == 0


def test_a_lock_is_released_by_an_error() -> None:
    """An error in the body leaves no lock held."""
    locks = NamedLocks(time.monotonic, wait_s=0.05)
    with pytest.raises(RuntimeError), locks.hold("v"):
        raise RuntimeError
    with locks.hold("v"):
        pass
    assert len(locks) == 0


def test_few_wait_for_a_holder_that_is_stuck() -> None:
    """More requests fail at once: each would hold a thread that other volumes need (promise 4)."""
    locks = NamedLocks(time.monotonic, wait_s=30, stuck_s=0.05)
    refusals: list[str] = []
    entered = threading.Event()

    def wait() -> None:
        try:
            with locks.hold("v"):
                entered.set()
        except Busy as error:
            refusals.append(str(error))

    with locks.hold("v"):
        threads = [threading.Thread(target=wait) for _ in range(MOST_WAITING // 2 + 5)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while len(refusals) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert not entered.is_set()
    for thread in threads:
        thread.join(30)
    assert (len(refusals), entered.is_set(), len(locks)) == (5, True, 0)
    assert refusals[0].startswith("volume 'v' is busy: another request has held its lock for more than")
