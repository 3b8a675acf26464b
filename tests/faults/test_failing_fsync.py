"""EIO from fsync, at every fsync of every verb: pyvol reports an error and loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from served import Served

from .fsync_fault import FsyncFault
from .verbs import VERBS, Verb, compare_with_disk, facts, is_helpful

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.faults

MOST_FSYNCS = 20


class Failing(Served):
    """A daemon whose fsyncs fail on request."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fault = FsyncFault(root / "orders", root)

    @property
    def environment(self) -> dict[str, str]:
        """The daemon's environment, with the shim."""
        return super().environment | self.fault.environment


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Failing]:
    """Yield a daemon that runs with the shim."""
    daemon = Failing(tmp_path)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.mark.parametrize("lasting", [False, True], ids=["one fails", "all fail from then on"])
@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_a_failing_fsync_is_reported_and_changes_nothing(failing: Failing, verb: Verb, *, lasting: bool) -> None:
    """Whichever fsync fails, the verb reports it, changes nothing, and works later (promise 2)."""
    for number in range(MOST_FSYNCS):
        name = f"v{number}"
        verb.prepare(failing, name)
        failing.fault.arm(number, lasting=lasting)
        error = verb.act(failing, name)
        if failing.fault.disarm() == 0:
            assert error == ""
            break
        assert is_helpful(error, name), error
        assert facts(failing, name) == verb.before, f"after fsync {number} failed"
        compare_with_disk(failing)
        assert verb.act(failing, name) == "", f"after fsync {number} failed, and the disk worked again"
        assert facts(failing, name) == verb.after
    assert 0 < number < MOST_FSYNCS - 1, f"{number} fsyncs seen"
    compare_with_disk(failing)


@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_a_crash_after_a_failing_fsync_loses_nothing(failing: Failing, verb: Verb) -> None:
    """After a failed fsync and a kill, the next start finds the volume as before or after the verb."""
    for number in range(MOST_FSYNCS):
        name = f"v{number}"
        verb.prepare(failing, name)
        failing.fault.arm(number, lasting=True)
        verb.act(failing, name)
        failing.kill()
        if failing.fault.disarm() == 0:
            failing.start()
            break
        failing.start()
        assert facts(failing, name) in (verb.before, verb.after), f"after fsync {number} failed"
        compare_with_disk(failing)
        if facts(failing, name) == verb.before:
            assert verb.act(failing, name) == ""
    assert 0 < number < MOST_FSYNCS - 1, f"{number} fsyncs seen"
