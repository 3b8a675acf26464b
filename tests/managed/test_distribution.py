"""The plugin is pushed, installed, upgraded, removed and installed again, with volumes in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.writers import Writer

if TYPE_CHECKING:
    from engine.managed import ManagedMachine
    from engine.registry import Registry

pytestmark = pytest.mark.engine

NEW = "pyvol, the next release"


def test_installed_used_and_upgraded(machine: ManagedMachine, published: Registry) -> None:
    """An upgrade while a container writes keeps volumes, data and labels."""
    machine.plugin.remove()
    granted = ("--grant-all-permissions", "--alias", "pyvol")
    machine.plugin.settings = {"PYVOL_TRASH_KEEP": "3d"}
    machine.docker(
        "plugin", "install", *granted, published.plugin, *machine.plugin.default_settings(), "PYVOL_TRASH_KEEP=3d"
    )
    machine.plugin.find_and_start()
    machine.docker("volume", "create", "--driver", "pyvol", "--label", "tier=gold", "data")
    writer = Writer(machine, "box", "data")
    assert "in use" in machine.refused("plugin", "disable", "pyvol")
    upgrade = ("plugin", "upgrade", "--grant-all-permissions", "--skip-remote-check", "pyvol")
    next_release = published.publish_variant("2", Description=NEW)
    assert "must be disabled" in machine.refused(*upgrade, next_release)
    machine.plugin.disable()
    machine.docker(*upgrade, next_release)
    writer.await_more()
    machine.plugin.set(*machine.plugin.default_settings(), "PYVOL_TRASH_KEEP=3d")
    machine.plugin.enable()

    assert machine.plugin.inspect()["Config"]["Description"] == NEW
    seen = machine.inspect_volume("data")
    assert (seen["Labels"], "for 3d" in seen["Status"]["on_remove"]) == ({"tier": "gold"}, True)
    assert "in use" in machine.refused("volume", "rm", "data")
    writer.await_more()
    machine.docker("restart", "box")
    machine.docker("rm", "--force", "box")
    assert machine.claims("data") == []
    assert machine.run("-v", "data:/data", script="head -n 1 /data/numbers") == "1"


def test_removed_and_installed_again(machine: ManagedMachine) -> None:
    """A container writes on after `plugin rm -f`, and the plugin's next installation has the volumes."""
    machine.docker("volume", "create", "--driver", "pyvol", "--label", "tier=gold", "data")
    writer = Writer(machine, "box", "data")
    machine.plugin.remove()
    assert machine.plugin_mounts() == []
    writer.await_more()
    machine.plugin.install()

    assert machine.volumes() == ["data"]
    assert machine.inspect_volume("data")["Labels"] == {"tier": "gold"}
    writer.await_more()
    machine.docker("rm", "--force", "box")
    assert machine.claims("data") == []
    assert machine.run("-v", "data:/data", script="head -n 1 /data/numbers") == "1"
    machine.docker("volume", "rm", "data")
    machine.plugin.ask("undelete", "data")
    assert machine.volumes() == ["data"]
