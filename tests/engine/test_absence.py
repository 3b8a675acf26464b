"""What an engine does without its plugin, and that nothing is lost by it (facts 21, 34, 35, 36).

An engine tries an absent plugin for 15 s before it gives up. So all that it does without one is asked at the same time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from .deadline import await_true
from .images import BOX

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = pytest.mark.engine

LABEL = ("--label", "tier=gold")


def create_labelled(machine: Machine, volume: str) -> None:
    """Create a volume with a label, which the engine throws away with the rest when it forgets the volume."""
    machine.docker("volume", "create", "--driver", "pyvol", *LABEL, volume)


def test_an_engine_without_its_plugin(machine: Machine) -> None:
    """Run, stop, ls, inspect and rm wait and then answer; nothing is forgotten and nothing removed (facts 1, 21)."""
    for volume in ("data", "other"):
        create_labelled(machine, volume)
    machine.launch("box", "-v", "data:/data", script="echo safe > /data/file; sleep 600")
    machine.docker("create", "--network", "none", "--name", "idle", "-v", "data:/data", BOX, "true")
    machine.plugin.stop()
    machine.recorder.close()
    asked = [
        ("start", "idle"),
        ("stop", "box"),
        ("volume", "ls", "--quiet"),
        ("volume", "inspect", "other"),
        ("volume", "rm", "other"),
    ]
    with ThreadPoolExecutor(len(asked)) as pool:
        start, stop, listed, inspected, removed = pool.map(lambda words: machine.dockerd.run(*words), asked)
    running = machine.dockerd.run("inspect", "--format", "{{.State.Running}}", "box").stdout.strip()
    machine.plugin.start()
    machine.recorder.open()

    assert start.returncode
    assert running == "false", stop.stderr
    assert listed.stdout.split() == ["data", "other"]
    assert inspected.returncode
    assert removed.returncode
    assert machine.volumes() == ["data", "other"]
    assert machine.inspect_volume("other")["Labels"] == {"tier": "gold"}
    # The lost Unmount: the ID is sent again by the next start, and its claim is still one.
    machine.docker("start", "box")
    assert machine.story("data").of("Mount").told() == "M(a) M(a)"
    assert machine.docker("exec", "box", "cat", "/data/file") == "safe"
    machine.docker("rm", "--force", "box", "idle")
    machine.docker("volume", "rm", "data")


def test_an_engine_that_starts_without_its_plugin(machine: Machine) -> None:
    """It comes up late and without its restarting containers; with pyvol back all is there again (fact 34)."""
    create_labelled(machine, "data")
    machine.launch("box", "--restart", "always", "-v", "data:/data", script="echo safe > /data/file; sleep 600")
    machine.dockerd.stop()
    machine.plugin.stop()
    machine.recorder.close()
    machine.dockerd.start()
    assert not machine.running("box")
    machine.plugin.start()
    machine.recorder.open()

    assert machine.inspect_volume("data")["Labels"] == {"tier": "gold"}
    machine.docker("start", "box")
    assert machine.docker("exec", "box", "cat", "/data/file") == "safe"
    machine.docker("rm", "--force", "box")
    assert machine.claims("data") == []


def test_a_plugin_that_comes_a_little_after_its_engine(machine: Machine) -> None:
    """While the engine still tries, a pyvol that comes up is found, and the restarting container runs (fact 35)."""
    create_labelled(machine, "data")
    machine.launch("box", "--restart", "always", "-v", "data:/data", script="sleep 600")
    machine.dockerd.stop()
    machine.plugin.stop()
    machine.recorder.close(unlink=False)
    machine.recorder.forget()
    machine.dockerd.start(wait=False)
    machine.plugin.start()
    machine.recorder.open()
    machine.dockerd.await_ready()
    await_true(lambda: machine.running("box"), "the container to be restarted")

    assert machine.inspect_volume("data")["Labels"] == {"tier": "gold"}
    assert [claim.count for claim in machine.claims("data")] == [1]


def test_a_get_that_lost_its_body_forgets_nothing(machine: Machine) -> None:
    """An empty Get gets no answer at all, the engine gives up, and the volume keeps its labels (facts 5, 36)."""
    create_labelled(machine, "data")
    machine.recorder.drop_next("Get")
    machine.refused("volume", "inspect", "data")

    gets = machine.story().of("Get")[-4:]
    assert [(call.body, call.done) for call in gets] == [(b"", False)] * 4
    assert machine.inspect_volume("data")["Labels"] == {"tier": "gold"}
