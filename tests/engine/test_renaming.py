"""A renamed volume with a real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .images import BOX

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = pytest.mark.engine


def test_the_old_name_fails_with_the_new_name(machine: Machine) -> None:
    """The new name has the data, and using the old name returns an error that gives the new name."""
    machine.run("--volume-driver", "pyvol", "-v", "old:/data", script="echo kept > /data/file")
    machine.docker("create", "--name", "box", "-v", "old:/data", BOX, "true")
    machine.plugin.ask("rename", "old", "new")

    assert machine.volumes() == ["new"]
    assert machine.run("-v", "new:/data", script="cat /data/file") == "kept"
    assert "'new' now" in machine.refused("start", "box")
    assert "'new' now" in machine.refused("run", "--rm", "--network", "none", "-v", "old:/data", BOX, "true")
    assert "'new' now" in machine.inspect_volume("old")["Status"]["renamed"]
    machine.restart_plugin()
    machine.dockerd.restart()
    assert machine.volumes() == ["new"]
    assert "'new' now" in machine.refused("start", "box")
    machine.docker("rm", "box")


def test_a_volume_in_use_keeps_its_name(machine: Machine) -> None:
    """Renaming a volume is refused while a container uses the volume, and works later."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    refused = machine.plugin.run("rename", "data", "other")
    assert (refused.returncode, "cannot be renamed: it is in use" in refused.stderr) == (4, True)
    machine.docker("rm", "--force", "box")
    machine.plugin.ask("rename", "data", "other")
    assert machine.volumes() == ["other"]
