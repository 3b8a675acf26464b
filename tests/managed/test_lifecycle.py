"""Crashes, restarts, disable and enable: data, claims and mounts are right after each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deadline import await_true
from engine.writers import Writer

if TYPE_CHECKING:
    from engine.managed import ManagedMachine

pytestmark = pytest.mark.engine

LAST_WORDS = "Shutting down: Master"
"""What gunicorn says when it has ended by itself, on SIGTERM."""


def test_a_volume_lives_and_ends(machine: ManagedMachine) -> None:
    """A container's data is on the host, in a pool that is mounted once; a disabled plugin has no mounts."""
    machine.create("data", uid="1000", mode="0750")
    machine.create("other")
    machine.run("-v", "data:/data", "-v", "other:/other", script="stat -c '%u %a' /data > /data/file")

    assert (machine.data("data") / "file").read_text() == "1000 750\n"
    assert machine.inspect_volume("data")["Mountpoint"] == str(machine.data("data"))
    assert machine.claims("data") == []
    assert len(set(machine.plugin_mounts())) == 1
    machine.docker("volume", "rm", "data", "other")
    machine.docker("plugin", "disable", "pyvol")
    assert LAST_WORDS in machine.dockerd.logged(), "the engine killed it, after ten seconds"
    machine.plugin.await_cleared()


def test_a_crash_is_survived(machine: ManagedMachine) -> None:
    """After repeated kills the plugin has its claims, containers write, and no mount is double (fact 41)."""
    writer = Writer(machine, "box", "data")
    claims, shown = machine.claims("data"), machine.plugin_mounts()
    assert [(claim.count, claim.stale) for claim in claims] == [(1, False)]
    for _ in range(3):
        machine.restart_plugin()
        writer.await_more()
        machine.run("-v", "data:/data")

    assert machine.claims("data") == claims
    assert machine.plugin_mounts() == shown
    machine.docker("rm", "--force", "box")
    writer.check()
    machine.docker("volume", "rm", "data")


def test_containers_run_while_it_is_disabled(machine: ManagedMachine) -> None:
    """Containers write while the plugin is disabled by force, and enable restores the volumes (fact 23)."""
    machine.docker("volume", "create", "--driver", "pyvol", "--label", "tier=gold", "data")
    writer = Writer(machine, "box", "data")
    gone = Writer(machine, "gone", "data-of-gone")
    machine.plugin.disable()
    assert machine.plugin_mounts() == []
    writer.await_more()
    gone.await_more()
    machine.docker("kill", "gone")
    assert "disabled" in machine.refused("volume", "inspect", "data")
    doctor = machine.pyvol("doctor", "--engine", str(machine.dockerd.api.path))
    assert "-> docker plugin enable pyvol:latest" in doctor.stdout
    machine.plugin.enable()

    writer.await_more()
    assert machine.volumes() == ["data", "data-of-gone"]
    assert machine.inspect_volume("data")["Labels"] == {"tier": "gold"}
    assert "in use" in machine.refused("volume", "rm", "data")
    machine.docker("start", "gone")
    machine.docker("rm", "--force", "box", "gone")
    writer.check()
    assert machine.claims("data") == []
    machine.docker("volume", "rm", "data", "data-of-gone")


def check_that_all_is_known(machine: ManagedMachine, shown: list[str], starts: int) -> None:
    """Check after the engine's start that container, label and mounts are as before."""
    written = machine.data("data") / "starts"
    await_true(lambda: len(written.read_text().splitlines()) >= starts, "the container to start")
    await_true(lambda: machine.running("box"), "the container to run")
    machine.plugin.start()
    assert len(written.read_text().splitlines()) == starts
    assert "retrying in" not in machine.dockerd.logged()
    assert machine.inspect_volume("data")["Labels"] == {"tier": "gold"}
    assert machine.plugin_mounts() == shown
    machine.docker("cp", "box:/data/starts", "-")
    # The client has its file before the engine sends the Unmount.
    await_true(
        lambda: [claim.count for claim in machine.claims("data")] in ([1], []), "the copy's claim to be released"
    )


@pytest.mark.parametrize("live_restore", [False, pytest.param(True, marks=pytest.mark.live_restore)])
def test_the_engine_restarts(machine: ManagedMachine, *, live_restore: bool) -> None:
    """A restart of the engine, clean or killed, keeps volumes and labels and leaves no claim.

    An engine that was killed without live-restore can fail to start once, by its own bug (fact 44).
    """
    machine.docker("volume", "create", "--driver", "pyvol", "--label", "tier=gold", "data")
    machine.launch("box", "--restart", "always", "-v", "data:/data", script="echo started >> /data/starts; sleep 600")
    await_true((machine.data("data") / "starts").exists, "the container to write")
    shown, pid = machine.plugin_mounts(), machine.plugin.pid
    for number, end in enumerate((machine.dockerd.stop, machine.dockerd.kill), 2):
        end()
        machine.dockerd.start()
        check_that_all_is_known(machine, shown, starts=1 if live_restore else number)

    assert (machine.plugin.pid == pid) == live_restore
    machine.docker("rm", "--force", "box")
    assert machine.claims("data") == []
    machine.docker("volume", "rm", "data")


@pytest.mark.live_restore
def test_both_die(machine: ManagedMachine) -> None:
    """A live-restored container keeps its data when engine and plugin are killed together."""
    machine.create("data")
    writer = Writer(machine, "box", "data")
    machine.dockerd.kill()
    machine.plugin.kill()
    writer.await_more()
    machine.dockerd.start()
    machine.plugin.start()
    writer.await_more()

    assert "in use" in machine.refused("volume", "rm", "data")
    machine.docker("rm", "--force", "box")
    writer.check()
    assert machine.claims("data") == []
    machine.docker("volume", "rm", "data")
