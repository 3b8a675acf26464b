"""`pyvol adopt` in a managed plugin that sees only one directory of the host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .inside import hosts_engine, run_inside

if TYPE_CHECKING:
    from pathlib import Path

    from engine.managed import ManagedMachine

pytestmark = pytest.mark.engine


def show(machine: ManagedMachine, *settings: str) -> None:
    """Enable the plugin with settings that say which directories of the host it sees."""
    machine.plugin.disable()
    machine.plugin.set(*settings)
    machine.plugin.enable()


def test_volumes_of_the_local_driver(machine: ManagedMachine, tmp_path: Path) -> None:
    """Adopt refuses volumes that are in use or not visible, and copies data and labels of others."""
    volumes = machine.dockerd.data / "volumes"
    machine.docker("volume", "create", "--label", "tier=gold", "data")
    machine.launch("job", "-v", "data:/data", script="echo kept > /data/file; chown 7:8 /data/file; sleep 600")
    show(machine, f"paths.source={tmp_path}")
    words = ("adopt", "--from-local", "data", "--engine")
    busy = run_inside(machine, *words, hosts_engine(machine))
    assert (busy.returncode, "job uses it" in busy.stderr) == (4, True), busy.stderr
    machine.docker("rm", "--force", "job")
    unseen = machine.pyvol(*words, str(machine.dockerd.api.path))
    assert (unseen.returncode, f"a paths.source that contains it, such as {volumes}," in unseen.stderr) == (2, True)

    show(machine, f"paths.source={volumes}")
    done = run_inside(machine, *words, hosts_engine(machine), "--force", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["how"], row["source"], row["next"]) == ("copy", str(volumes / "data/_data"), "")
    known = machine.inspect_volume("data")
    assert (known["Driver"], known["Labels"]) == ("pyvol:latest", {"tier": "gold"})
    assert machine.run("-v", "data:/data", script="cat /data/file; stat -c %u:%g /data/file").split() == ["kept", "7:8"]
    machine.docker("volume", "rm", "data")
    show(machine, *machine.plugin.default_settings())
