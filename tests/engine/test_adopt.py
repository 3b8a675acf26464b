"""`pyvol adopt` with a real engine: it adopts volumes of the local driver, and containers start with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from deadline import await_true

from .test_compose import both_wrote, compose, write_project

if TYPE_CHECKING:
    from pathlib import Path

    from .machine import Machine

pytestmark = [pytest.mark.engine, pytest.mark.beside]


def adopt(machine: Machine, *words: str) -> list[dict[str, Any]]:
    """Adopt volumes of the local driver from this machine's engine."""
    rows: list[dict[str, Any]] = machine.plugin.ask(
        "adopt", "--from-local", "--force", "--engine", str(machine.dockerd.api.path), *words
    )
    return rows


def test_a_volume_that_a_stopped_container_uses(machine: Machine, tmp_path: Path) -> None:
    """Adopting a used volume is refused while a container runs, then renames it with its data and owners."""
    config = tmp_path / "pyvol.toml"
    config.write_text(f'[pools.near]\npath = "{machine.dockerd.api.path.parent}/data/near"\n')
    machine.plugin.restart(PYVOL_CONFIG=str(config))  # a pool on the engine's own file system
    machine.docker("volume", "create", "data")
    machine.docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "scratch")
    machine.launch("job", "-v", "data:/data", script="echo kept > /data/file; chown 7:8 /data /data/file; sleep 600")
    busy = machine.plugin.run("adopt", "--from-local", "data", "--force", "--engine", str(machine.dockerd.api.path))
    assert (busy.returncode, "job uses it" in busy.stderr) == (4, True), busy.stderr
    await_true(lambda: machine.docker("exec", "job", "stat", "-c", "%u", "/data/file") == "7", "the job to write")
    machine.docker("stop", "--time", "1", "job")

    (row,) = adopt(machine, "data", "-o", "pool=near")
    assert (row["how"], row["next"].partition(";")[0]) == ("rename", "docker rm job")
    assert "no such file or directory" in machine.refused("start", "job")
    machine.docker("rm", "job")
    machine.docker("volume", "rm", "data")
    assert machine.volumes() == ["data"]
    look = "cat /data/file; stat -c %u:%g /data /data/file"
    assert machine.run("-v", "data:/data", script=look).split() == ["kept", "7:8", "7:8"]

    (row,) = adopt(machine, "scratch")
    assert (row["how"], row["next"]) == ("mounted as before", "")
    assert "tmpfs /data tmpfs" in machine.run("-v", "scratch:/data", script="grep /data /proc/mounts")
    machine.docker("volume", "rm", "data")
    machine.plugin.ask("trash", "empty", "--all", "--force")  # while the volume's pool is configured


def test_a_project_changes_its_driver(machine: Machine, tmp_path: Path) -> None:
    """After down, adopt and one new line in the file, up starts the services with their data and labels."""
    compose(machine, write_project(tmp_path, data={}), "up", "--detach")
    script = "until [ -e /data/web ] && [ -e /data/worker ]; do sleep 0.1; done; chown 9 /data"
    machine.run("-v", "shop_data:/data", script=script)
    compose(machine, write_project(tmp_path, data={}), "down")
    labels = machine.inspect_volume("shop_data")["Labels"]
    labels.pop(
        "com.docker.compose.config-hash", None
    )  # newer Compose sets it; with this label it would offer to create the volume again

    (row,) = adopt(machine, "shop_data")
    assert (row["how"], row["next"]) == ("copy", "")
    assert machine.data("shop_data").stat().st_uid == 9
    assert machine.inspect_volume("shop_data")["Labels"] == labels
    file = write_project(tmp_path, data={"driver": "pyvol"})
    compose(machine, file, "up", "--detach")
    await_true(lambda: both_wrote(machine, "shop_data", 2), "both services to write again")
    compose(machine, file, "down", "--volumes")
    assert machine.volumes() == []
    assert "shop_data" not in machine.docker("volume", "ls", "--quiet")
