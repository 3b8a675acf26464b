"""An engine that has lost its references removes volumes of running containers; pyvol refuses (fact 32)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .writers import Writer

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = pytest.mark.engine


@pytest.mark.live_restore
def test_a_volume_of_a_running_container_is_not_removed(machine: Machine) -> None:
    """A failed Get makes the engine remove a running container's volume; pyvol refuses (fact 32)."""
    machine.create("data")
    writer = Writer(machine, "box", "data")
    machine.dockerd.kill()
    machine.recorder.answer_next("Get", b'{"Err": "not now"}', times=2)
    machine.dockerd.start()
    assert machine.running("box")
    said = machine.refused("volume", "rm", "data")

    assert machine.calls("data").times("Remove") == 1
    assert "data" in said
    assert "in use" in said or "mounted" in said
    writer.await_more()
    writer.check()
    machine.docker("rm", "--force", "box")
    machine.docker("volume", "rm", "data")
    assert machine.volumes() == []


@pytest.mark.live_restore
def test_a_forced_removal_is_refused_too(machine: Machine) -> None:
    """`rm -f` shows the refusal, and the engine lists the volume because pyvol still has it (fact 32)."""
    machine.create("data")
    writer = Writer(machine, "box", "data")
    machine.dockerd.kill()
    machine.recorder.answer_next("Get", b'{"Err": "not now"}', times=2)
    machine.dockerd.start()
    machine.refused("volume", "rm", "--force", "data")

    assert machine.volumes() == ["data"]
    writer.await_more()
    writer.check()
