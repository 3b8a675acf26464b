"""Docker Compose: a project with pyvol volumes goes up and down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from deadline import await_true

from .images import BOX

if TYPE_CHECKING:
    from pathlib import Path

    from .machine import Machine

pytestmark = pytest.mark.engine

SCRIPT = "trap 'exit 0' TERM; echo {name} >> /data/{name}; sleep 600 & wait $$!"


def write_project(directory: Path, **volumes: object) -> Path:
    """Write a project of two services that share the volume `data`, as JSON, which Compose also reads."""
    services = {
        name: {
            "image": BOX,
            "network_mode": "none",
            "pull_policy": "never",
            "command": ["sh", "-c", SCRIPT.format(name=name)],
            "volumes": ["data:/data"],
        }
        for name in ("web", "worker")
    }
    file = directory / "compose.yaml"
    file.write_text(json.dumps({"services": services, "volumes": volumes}))
    return file


def compose(machine: Machine, file: Path, *words: str) -> None:
    """Run a Compose command that must succeed."""
    machine.docker("compose", "--project-name", "shop", "--file", str(file), *words)


def both_wrote(machine: Machine, volume: str, times: int) -> bool:
    """Return whether each service has started this many times on the volume."""
    texts = [machine.data(volume) / name for name in ("web", "worker")]
    return all(text.exists() and len(text.read_text().splitlines()) == times for text in texts)


@pytest.mark.transcript("compose")
def test_a_project_goes_up_and_down(machine: Machine, tmp_path: Path) -> None:
    """Up creates the volume with its driver_opts, down keeps it for the next up, and down -v removes it."""
    file = write_project(tmp_path, data={"driver": "pyvol", "driver_opts": {"uid": "1000", "mode": "0775"}})
    compose(machine, file, "up", "--detach")
    await_true(lambda: both_wrote(machine, "shop_data", 1), "both services to write")
    assert [claim.count for claim in machine.claims("shop_data")] == [1, 1]
    compose(machine, file, "down")
    assert machine.volumes() == ["shop_data"]
    assert machine.claims("shop_data") == []
    compose(machine, file, "up", "--detach")
    await_true(lambda: both_wrote(machine, "shop_data", 2), "both services to write again")
    compose(machine, file, "down", "--volumes")

    assert machine.volumes() == []
    calls = machine.calls("shop_data")
    [created] = calls.of("Create")
    assert created.asked["Opts"] == {"uid": "1000", "mode": "0775"}
    assert (calls.times("Mount"), calls.times("Unmount"), calls.times("Remove")) == (4, 4, 1)


def test_a_removed_project_comes_back(machine: Machine, tmp_path: Path) -> None:
    """After `down -v` the volume can be undeleted, and the next up continues with its data."""
    file = write_project(tmp_path, data={"driver": "pyvol"})
    compose(machine, file, "up", "--detach")
    await_true(lambda: both_wrote(machine, "shop_data", 1), "both services to write")
    compose(machine, file, "down", "--volumes")
    machine.plugin.ask("undelete", "shop_data")
    compose(machine, file, "up", "--detach")
    await_true(lambda: both_wrote(machine, "shop_data", 2), "both services to write again")
    compose(machine, file, "down")


def test_an_external_volume_is_left_alone(machine: Machine, tmp_path: Path) -> None:
    """Compose uses an external volume under its own name, and `down -v` does not remove it."""
    machine.create("shared", mode="0777")
    file = write_project(tmp_path, data={"external": True, "name": "shared"})
    compose(machine, file, "up", "--detach")
    await_true(lambda: both_wrote(machine, "shared", 1), "both services to write")
    compose(machine, file, "down", "--volumes")

    assert machine.volumes() == ["shared"]
    assert machine.claims("shared") == []
    assert machine.calls().times("Remove") == 0
