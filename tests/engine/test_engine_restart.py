"""The engine is stopped, killed and started again, with and without live-restore (facts 8 and 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deadline import await_true

from .writers import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from .machine import Machine

pytestmark = pytest.mark.engine


@pytest.mark.transcript("engine-stop")
def test_an_engine_that_stops_unmounts(machine: Machine) -> None:
    """A clean stop of the engine ends its containers and releases each claim; the next one still knows the volume."""
    machine.docker("volume", "create", "--driver", "pyvol", "--label", "tier=gold", "data")
    machine.launch("box", "-v", "data:/data")
    machine.dockerd.restart()

    assert machine.claims("data") == []
    assert not machine.running("box")
    assert machine.inspect_volume("data")["Labels"] == {"tier": "gold"}
    machine.docker("start", "box")
    machine.docker("rm", "--force", "box")
    assert machine.story("data").changes() == "C M(a) U(a) M(b) U(b)"


@pytest.mark.transcript("engine-killed")
def test_a_killed_engine_mounts_again_under_the_same_id(machine: Machine) -> None:
    """After kill -9 a restarted container sends the same ID once more, and one Unmount releases it (fact 8)."""
    machine.create("data")
    machine.launch("box", "--restart", "always", "-v", "data:/data")
    machine.dockerd.kill()
    machine.dockerd.start()
    machine.await_calls("Mount", 2)
    await_true(lambda: machine.running("box"), "the container to be restarted")

    assert machine.story("data").changes() == "C M(a) M(a)"
    assert [(claim.count, claim.stale) for claim in machine.claims("data")] == [(1, False)]
    machine.docker("rm", "--force", "box")
    assert machine.story("data").changes() == "C M(a) M(a) U(a)"
    assert machine.claims("data") == []


@pytest.mark.transcript("engine-killed-container-gone")
def test_a_claim_that_a_killed_engine_left_keeps_nothing(machine: Machine) -> None:
    """A container that does not come back leaves a stale claim, which does not keep its volume from going (fact 8)."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    machine.dockerd.kill()
    machine.dockerd.start()

    assert not machine.running("box")
    assert [claim.stale for claim in machine.claims("data")] == [True]
    machine.docker("rm", "box")
    machine.docker("volume", "rm", "data")
    assert machine.story("data").changes() == "C M(a) R"
    assert machine.claims("data") == []


def test_a_container_started_by_hand_after_the_kill(machine: Machine) -> None:
    """A later start repeats the old ID, and its stop leaves no claim (fact 8)."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    machine.dockerd.kill()
    machine.dockerd.start()
    machine.docker("start", "box")
    assert [(claim.count, claim.stale) for claim in machine.claims("data")] == [(1, False)]
    machine.docker("stop", "box")

    assert machine.story("data").changes() == "C M(a) M(a) U(a)"
    assert machine.claims("data") == []


@pytest.mark.live_restore
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_containers_live_on_without_their_engine(machine: Machine, end: str) -> None:
    """With live-restore a container writes on through the engine's restart, no Mount is sent, and its old ID ends it.

    The numbers on the disk have no gap (fact 9).
    """
    machine.create("data")
    writer = Writer(machine, "box", "data")
    if end == "stop":
        machine.dockerd.stop()
    else:
        machine.dockerd.kill()
    writer.await_more()
    machine.dockerd.start()
    writer.await_more()
    assert machine.running("box")
    assert machine.story("data").of("Mount", "Unmount").told() == "M(a)"
    assert "in use" in machine.refused("volume", "rm", "data")
    machine.docker("stop", "box")

    writer.check()
    assert machine.story("data").changes() == "C M(a) U(a)"
    assert machine.claims("data") == []


@pytest.mark.live_restore
def test_a_container_that_dies_while_the_engine_is_down(machine: Machine) -> None:
    """Its Unmount never comes; its next start repeats the ID, and the stop after that releases the one claim."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data", script="until [ -e /data/end ]; do usleep 10000; done")
    machine.dockerd.kill()
    (machine.data("data") / "end").touch()
    machine.dockerd.start()
    await_true(lambda: not machine.running("box"), "the engine to see that the container ended")
    (machine.data("data") / "end").unlink()
    machine.docker("start", "box")
    machine.docker("stop", "box")

    assert machine.story("data").of("Mount").told() == "M(a) M(a)"
    assert machine.claims("data") == []


@pytest.mark.live_restore
def test_a_copy_after_live_restore_takes_nothing_away(machine: Machine) -> None:
    """Docker cp on a live-restored container leaves it its data, and its volume goes when it is gone (facts 7, 9)."""
    machine.create("data")
    writer = Writer(machine, "box", "data")
    machine.dockerd.kill()
    machine.dockerd.start()
    machine.copy_out("box:/data/numbers", "-")
    writer.await_more()
    machine.docker("rm", "--force", "box")
    writer.check()
    machine.docker("volume", "rm", "data")

    assert machine.claims("data") == []


@pytest.mark.live_restore
def test_a_claim_that_counts_too_much(machine: Machine, tmp_path: Path) -> None:
    """Where the Unmount of a copy got lost, one Unmount releases all of it after the engine's restart (facts 8, 37)."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    machine.recorder.answer_next("Unmount", b'{"Err": "not now"}')
    machine.docker("cp", "box:/bin/busybox", str(tmp_path / "out"))
    machine.recorder.await_request("Unmount")  # the client has its file before
    assert [claim.count for claim in machine.claims("data")] == [2]
    machine.dockerd.kill()
    machine.dockerd.start()
    machine.docker("stop", "box")

    assert machine.story("data").of("Mount", "Unmount").told() == "M(a) M(a) U(a)! U(a)"
    assert machine.claims("data") == []


def test_many_volumes_are_all_known_after_a_restart(machine: Machine) -> None:
    """A starting engine asks Get for every volume at once, and forgets none of them (facts 1, 28)."""
    names = [f"data-{number:02}" for number in range(40)]
    for name in names:
        machine.dockerd.api.create_volume(name, "pyvol", {"number": name})
    machine.dockerd.kill()
    machine.recorder.forget()
    machine.dockerd.start()

    assert sorted(call.volume for call in machine.story().of("Get")) == names
    assert machine.dockerd.api.labels() == {name: {"number": name} for name in names}
