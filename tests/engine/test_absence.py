"""What an engine does without its plugin, and that it loses no volume (facts 5, 21, 34, 35, 36)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from deadline import await_true

from .images import BOX

if TYPE_CHECKING:
    from .background import Background
    from .machine import Machine

pytestmark = pytest.mark.engine

GOLD = {"tier": "gold"}


def create_labelled(machine: Machine, volume: str) -> None:
    """Create a volume with a label, which an engine loses if it forgets the volume."""
    machine.docker("volume", "create", "--driver", "pyvol", "--label", "tier=gold", volume)


def lose_the_plugin(machine: Machine) -> None:
    """Stop pyvol and remove its socket."""
    machine.plugin.stop()
    machine.recorder.close()


def bring_the_plugin_back(machine: Machine) -> None:
    """Start pyvol again, with a new socket at the same path."""
    machine.plugin.start()
    machine.recorder.open()


def live_without_plugin(machine: Machine) -> None:
    """Send an engine without plugin six requests at once, then start the plugin and use the volumes again."""
    for volume in ("data", "other"):
        create_labelled(machine, volume)
    machine.launch("box", "-v", "data:/data", script="echo safe > /data/file; sleep 600")
    machine.docker("create", "--network", "none", "--name", "idle", "-v", "data:/data", BOX, "true")
    lose_the_plugin(machine)
    asked = [
        ("run", "--network", "none", "-v", "other:/data", BOX, "true"),
        ("start", "idle"),
        ("stop", "box"),
        ("volume", "ls", "--quiet"),
        ("volume", "inspect", "other"),
        ("volume", "rm", "other"),
    ]
    with ThreadPoolExecutor(len(asked)) as pool:
        run, start, stop, listed, inspected, removed = pool.map(lambda words: machine.dockerd.run(*words), asked)
    assert [bool(done.returncode) for done in (run, start, stop, inspected, removed)] == [True, True, False, True, True]
    assert listed.stdout.split() == ["data", "other"]
    assert not machine.running("box")

    bring_the_plugin_back(machine)
    assert machine.volumes() == ["data", "other"]
    assert machine.inspect_volume("other")["Labels"] == GOLD
    # The Unmount of the stop is lost: the next start sends the same ID again.
    machine.docker("start", "box")
    assert machine.calls("data").of("Mount").notation() == "M(a) M(a)"
    assert machine.docker("exec", "box", "cat", "/data/file") == "safe"
    machine.docker("rm", "--force", "box", "idle")
    machine.docker("volume", "rm", "data")
    assert machine.volumes() == ["other"]


def start_without_plugin(machine: Machine) -> None:
    """Start an engine that has a restarting container, without its plugin; then start the plugin."""
    for volume in ("data", "other"):
        create_labelled(machine, volume)
    machine.launch("box", "--restart", "always", "-v", "data:/data", script="echo safe > /data/file; sleep 600")
    machine.dockerd.stop()
    lose_the_plugin(machine)
    machine.dockerd.start()
    assert not machine.running("box")
    machine.docker("run", "--rm", "--network", "none", "-v", "other:/data", BOX, "true")

    bring_the_plugin_back(machine)
    assert machine.inspect_volume("data")["Labels"] == GOLD
    machine.docker("start", "box")
    assert machine.docker("exec", "box", "cat", "/data/file") == "safe"
    machine.docker("rm", "--force", "box")
    assert machine.inspect_volume("other")["Driver"] == "local"
    machine.docker("volume", "rm", "other")
    assert machine.inspect_volume("other")["Driver"] == "pyvol"
    assert machine.claims("data") == []


def lose_the_body_of_a_get(machine: Machine) -> None:
    """Drop the connection of a Get, so that the engine repeats the Get without a body until it gives up."""
    create_labelled(machine, "data")
    known = machine.calls().times("Get")
    machine.recorder.drop_next("Get")
    machine.refused("volume", "inspect", "data")

    whole, *empty = machine.calls().of("Get")[known:]
    assert whole.volume == "data"
    assert empty
    assert all(call.body == b"" and not call.done for call in empty)
    assert machine.inspect_volume("data")["Labels"] == GOLD


@pytest.mark.background(scenario=live_without_plugin)
def test_an_engine_without_its_plugin(background: Background) -> None:
    """Without pyvol only stop and ls work; when pyvol is back, the engine knows all volumes (fact 21)."""
    background.finish(live_without_plugin)


@pytest.mark.background(scenario=start_without_plugin)
def test_an_engine_that_starts_without_its_plugin(background: Background) -> None:
    """After a start without pyvol, the engine has all volumes when pyvol is back (facts 34, 42)."""
    background.finish(start_without_plugin)


@pytest.mark.transcript("get-without-body")
@pytest.mark.background(scenario=lose_the_body_of_a_get)
def test_a_get_that_lost_its_body(background: Background) -> None:
    """A Get without a body gets no reply, so the engine gives up and keeps the labels (facts 5, 36)."""
    background.finish(lose_the_body_of_a_get)


@pytest.mark.beside
def test_a_plugin_that_comes_a_little_after_its_engine(machine: Machine) -> None:
    """An engine that still tries to reach pyvol finds it and restarts the container (fact 35)."""
    create_labelled(machine, "data")
    machine.launch("box", "--restart", "always", "-v", "data:/data")
    machine.dockerd.stop()
    machine.plugin.stop()
    machine.recorder.close(unlink=False)
    machine.dockerd.start(wait=False)
    machine.dockerd.await_retry()
    bring_the_plugin_back(machine)
    machine.dockerd.await_ready()
    await_true(lambda: machine.running("box"), "the container to be restarted")

    assert machine.inspect_volume("data")["Labels"] == GOLD
    assert [claim.count for claim in machine.claims("data")] == [1]
