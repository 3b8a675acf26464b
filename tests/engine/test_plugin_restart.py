"""pyvol is killed, stopped and started again while containers run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from deadline import await_true

from .images import BOX
from .writers import Writer

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = pytest.mark.engine


@pytest.mark.transcript("plugin-killed")
def test_claims_outlive_the_plugin(machine: Machine) -> None:
    """After kill -9 and a restart pyvol has its volumes and claims, and accepts an Unmount of an old ID."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    before = machine.claims("data")
    assert [claim.count for claim in before] == [1]
    machine.restart_plugin()

    assert machine.claims("data") == before
    assert machine.volumes() == ["data"]
    machine.docker("stop", "box")
    assert machine.calls("data").changes() == "C M(a) U(a)"
    assert machine.claims("data") == []


def test_containers_write_through_kills_and_stops(machine: Machine) -> None:
    """Two containers on two volumes write without a gap while pyvol is killed and stopped."""
    writers = [Writer(machine, f"box-{name}", name) for name in ("one", "two")]
    for end in (machine.plugin.kill, machine.plugin.stop, machine.plugin.kill):
        end()
        for writer in writers:
            writer.await_more()
        machine.plugin.start()
        for writer in writers:
            writer.await_more()
    assert [machine.running(f"box-{name}") for name in ("one", "two")] == [True, True]
    machine.docker("kill", "box-one", "box-two")
    machine.await_calls("Unmount", 2)

    for writer in writers:
        writer.check()
    assert machine.claims("one") == machine.claims("two") == []


@pytest.mark.live_restore
def test_both_are_killed_under_a_container(machine: Machine) -> None:
    """A live-restored container keeps its data and claim when engine and pyvol are killed and restarted."""
    machine.create("data")
    writer = Writer(machine, "box", "data")
    machine.dockerd.kill()
    machine.plugin.kill()
    writer.await_more()
    machine.plugin.start()
    machine.dockerd.start()
    writer.await_more()
    assert "in use" in machine.refused("volume", "rm", "data")
    machine.docker("rm", "--force", "box")

    writer.check()
    assert machine.claims("data") == []
    machine.docker("volume", "rm", "data")


def test_requests_wait_for_a_pyvol_that_is_starting(machine: Machine) -> None:
    """If another process, such as systemd, holds the socket, the next pyvol answers the engine's requests."""
    machine.plugin.kill()
    returning = threading.Thread(target=machine.plugin.start)
    creating = threading.Thread(target=machine.create, args=("data",))
    creating.start()
    machine.recorder.await_request("Get")
    returning.start()
    creating.join()
    returning.join()

    assert machine.calls("data").notation() == "G! C"


@pytest.mark.transcript("mount-without-body")
def test_a_mount_whose_connection_dropped_is_not_mounted_blindly(machine: Machine) -> None:
    """A Mount that the engine repeats without a body fails, and the container does not start (fact 5)."""
    machine.create("data")
    machine.recorder.drop_next("Mount")
    said = machine.refused("run", "--rm", "--network", "none", "-v", "data:/data", BOX, "true")

    first, second = machine.calls().of("Mount")
    assert first.body
    assert not first.done
    assert not second.body
    assert second.error
    assert second.error in said
    assert machine.claims("data") == []


def test_a_refused_connection_is_tried_again_whole(machine: Machine) -> None:
    """If a connection is refused, the engine repeats the whole request when pyvol is back (fact 5)."""
    machine.create("data")
    machine.recorder.close(unlink=False)
    running = threading.Thread(target=machine.run, args=("-v", "data:/data"), kwargs={"script": "touch /data/done"})
    running.start()
    machine.dockerd.await_retry()
    machine.recorder.open()
    running.join()

    assert (machine.data("data") / "done").exists()
    assert machine.calls("data").changes() == "C M(a) U(a)"
    await_true(lambda: not machine.claims("data"), "the claim to be released")
