"""The engine stops, is killed and starts again, with and without live-restore (facts 8 and 9)."""

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
    """A clean stop of the engine releases each claim, and the restarted engine knows the volume."""
    machine.docker("volume", "create", "--driver", "pyvol", "--label", "tier=gold", "data")
    machine.launch("box", "-v", "data:/data")
    machine.dockerd.restart()

    assert machine.claims("data") == []
    assert not machine.running("box")
    assert machine.inspect_volume("data")["Labels"] == {"tier": "gold"}
    machine.docker("start", "box")
    machine.docker("rm", "--force", "box")
    assert machine.calls("data").changes() == "C M(a) U(a) M(b) U(b)"


@pytest.mark.transcript("engine-killed")
def test_a_killed_engine_mounts_again_under_the_same_id(machine: Machine) -> None:
    """After kill -9 a restarted container mounts with the same ID, and one Unmount releases it (fact 8)."""
    machine.create("data")
    machine.launch("box", "--restart", "always", "-v", "data:/data")
    machine.dockerd.kill()
    machine.dockerd.start()
    machine.await_calls("Mount", 2)
    await_true(lambda: machine.running("box"), "the container to be restarted")

    assert machine.calls("data").changes() == "C M(a) M(a)"
    assert [(claim.count, claim.stale) for claim in machine.claims("data")] == [(1, False)]
    machine.docker("rm", "--force", "box")
    assert machine.calls("data").changes() == "C M(a) M(a) U(a)"
    assert machine.claims("data") == []


@pytest.mark.transcript("engine-killed-container-gone")
def test_a_stale_claim_of_a_killed_engine_keeps_nothing(machine: Machine) -> None:
    """A container that does not restart leaves a stale claim, and its volume can be removed (fact 8)."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    machine.dockerd.kill()
    machine.dockerd.start()

    assert not machine.running("box")
    assert [claim.stale for claim in machine.claims("data")] == [True]
    machine.docker("rm", "box")
    machine.docker("volume", "rm", "data")
    assert machine.calls("data").changes() == "C M(a) R"
    assert machine.claims("data") == []


def test_a_container_started_by_hand_after_the_kill(machine: Machine) -> None:
    """A container started by hand repeats its old mount ID, and its stop leaves no claim (fact 8)."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    machine.dockerd.kill()
    machine.dockerd.start()
    machine.docker("start", "box")
    assert [(claim.count, claim.stale) for claim in machine.claims("data")] == [(1, False)]
    machine.docker("stop", "box")

    assert machine.calls("data").changes() == "C M(a) M(a) U(a)"
    assert machine.claims("data") == []


@pytest.mark.live_restore
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_containers_live_on_without_their_engine(machine: Machine, end: str) -> None:
    """A live-restored container writes without a gap while the engine restarts (fact 9)."""
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
    assert machine.calls("data").of("Mount", "Unmount").notation() == "M(a)"
    assert "in use" in machine.refused("volume", "rm", "data")
    machine.docker("stop", "box")

    writer.check()
    assert machine.calls("data").changes() == "C M(a) U(a)"
    assert machine.claims("data") == []


@pytest.mark.live_restore
def test_a_container_that_dies_while_the_engine_is_down(machine: Machine) -> None:
    """A container that ends without its engine leaves no claim after its next start and stop."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data", script="until [ -e /data/end ]; do usleep 10000; done")
    machine.dockerd.kill()
    (machine.data("data") / "end").touch()
    machine.dockerd.start()
    await_true(lambda: not machine.running("box"), "the engine to notice that the container ended")
    (machine.data("data") / "end").unlink()
    machine.docker("start", "box")
    machine.docker("stop", "box")

    assert machine.calls("data").of("Mount").notation() == "M(a) M(a)"
    assert machine.claims("data") == []


@pytest.mark.live_restore
def test_a_copy_after_live_restore_changes_nothing(machine: Machine) -> None:
    """Docker cp does not affect a live-restored container, whose volume can be removed later (facts 7, 9)."""
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
    """If the Unmount of a copy fails, one Unmount after the engine's restart releases all (facts 8, 37)."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    machine.recorder.answer_next("Unmount", b'{"Err": "not now"}')
    machine.docker("cp", "box:/bin/busybox", str(tmp_path / "out"))
    machine.recorder.await_request("Unmount")  # the client has its file before the engine unmounts
    assert [claim.count for claim in machine.claims("data")] == [2]
    machine.dockerd.kill()
    machine.dockerd.start()
    machine.docker("stop", "box")

    assert machine.calls("data").of("Mount", "Unmount").notation() == "M(a) M(a) U(a)! U(a)"
    assert machine.claims("data") == []


def test_many_volumes_are_all_known_after_a_restart(machine: Machine) -> None:
    """An engine that starts sends Get for every volume at once, and forgets none of them (facts 1, 28)."""
    names = [f"data-{number:02}" for number in range(40)]
    for name in names:
        machine.dockerd.api.create_volume(name, "pyvol", {"number": name})
    machine.dockerd.kill()
    machine.recorder.forget()
    machine.dockerd.start()

    assert sorted(call.volume for call in machine.calls().of("Get")) == names
    assert machine.dockerd.api.labels() == {name: {"number": name} for name in names}
