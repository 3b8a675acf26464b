"""One lock per volume, each wait with a deadline."""

import threading

import pytest

from pyvol.core.errors import Busy
from pyvol.core.locks import NamedLocks


def test_one_name_excludes_and_another_does_not() -> None:
    """No volume waits for another (promise 4); the one that waits is told which is busy."""
    locks = NamedLocks(wait_s=0.05)
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
    """An error inside leaves nothing locked behind."""
    locks = NamedLocks(wait_s=0.05)
    with pytest.raises(RuntimeError), locks.hold("v"):
        raise RuntimeError
    with locks.hold("v"):
        pass
    assert len(locks) == 0
