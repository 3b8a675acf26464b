"""`pyvol prune` with a real engine: containers in every state keep the volumes that they refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .images import BOX

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = pytest.mark.engine


def prune(machine: Machine, *words: str) -> Any:
    """Run `pyvol prune` with this machine's engine."""
    return machine.plugin.ask("prune", "--engine", str(machine.dockerd.api.path), *words)


def chosen(machine: Machine, *words: str) -> list[str]:
    """Return the names of the volumes that prune would remove."""
    return [volume["name"] for volume in prune(machine, *words)["volumes"]]


def test_containers_in_every_state_keep_their_volumes(machine: Machine) -> None:
    """Running, stopped and created containers keep their volumes; undelete restores what prune removed."""
    for name in ("running", "stopped", "created", "bound", "free"):
        machine.create(name)
    (machine.data("free") / "file").write_text("precious\n")
    machine.launch("one", "-v", "running:/data")
    machine.launch("two", "-v", "stopped:/data")
    machine.docker("stop", "--time", "1", "two")
    machine.docker("create", "--name", "three", "-v", "created:/data", BOX, "true")
    machine.docker("create", "--name", "four", "-v", f"{machine.data('bound')}:/data", BOX, "true")
    assert chosen(machine) == ["free"]
    assert machine.volumes() == ["bound", "created", "free", "running", "stopped"]
    assert prune(machine, "--force")["moved"] == ["free"]

    assert machine.volumes() == ["bound", "created", "running", "stopped"]
    machine.docker("start", "two", "three")
    machine.plugin.ask("undelete", "free")
    assert machine.run("-v", "free:/data", script="cat /data/file") == "precious"


def test_a_volume_is_free_when_its_container_is_gone(machine: Machine) -> None:
    """After docker rm no container refers to the volume; prune can filter by the engine's labels."""
    machine.docker("volume", "create", "--driver", "pyvol", "--label", "project=shop", "shop")
    machine.create("other")
    machine.docker("create", "--name", "box", "-v", "shop:/data", BOX, "true")
    assert chosen(machine) == ["other"]
    machine.docker("rm", "box")
    assert chosen(machine) == ["other", "shop"]
    assert chosen(machine, "--filter", "label=project=shop") == ["shop"]
    assert chosen(machine, "--older-than", "1d") == []


def test_without_its_engine_nothing_is_pruned(machine: Machine) -> None:
    """If the engine is down, prune removes nothing."""
    machine.create("data")
    machine.dockerd.stop()
    refused = machine.plugin.run("prune", "--force", "--engine", str(machine.dockerd.api.path))
    assert refused.returncode == 69
    machine.dockerd.start()
    assert machine.volumes() == ["data"]
