"""A directory of the host is served by a daemon beside the engine or by the plugin, never by both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.images import BOX
from engine.plugin import Plugin
from engine.recorder import Recorder

if TYPE_CHECKING:
    from engine.background import Background
    from engine.managed import ManagedMachine

pytestmark = pytest.mark.engine

BAD_SETTING = 78


def test_a_directory_goes_from_the_daemon_to_the_plugin(machine: ManagedMachine) -> None:
    """The plugin takes over the volumes, data, options and trash of a daemon, and the daemon takes them back.

    Docker records the driver of each volume; a removal and an undelete give the volume to the other driver.
    """
    machine.plugin.remove()
    beside = Plugin(machine.namespace)
    beside.start()
    front = Recorder(machine.namespace.plugins / "pyvol.sock", beside.socket)
    front.open()
    machine.docker("volume", "create", "--driver", "pyvol", "--opt", "mode=0711", "data")
    machine.docker("volume", "create", "--driver", "pyvol", "left")
    machine.run("-v", "data:/data", script="echo kept > /data/file")
    machine.docker("volume", "rm", "data")
    beside.stop()
    front.close()
    machine.plugin.install()
    machine.dockerd.restart()  # until it ends, an engine looks for a known plugin name at the same socket

    machine.plugin.ask("undelete", "data")
    assert machine.docker("volume", "ls", "--quiet").split() == ["data", "left"]
    assert machine.run("-v", "data:/data", script="cat /data/file; stat -c %a /data") == "kept\n711"
    assert "does not match" in machine.refused("run", "--rm", "-v", "left:/data", BOX, "true")
    machine.plugin.disable()
    beside.start()
    assert sorted(volume["name"] for volume in beside.ask("ls")) == ["data", "left"]
    beside.stop()
    machine.plugin.enable()
    machine.plugin.post("VolumeDriver.Remove", {"Name": "left"})  # Docker itself would not send this


def serve_one_directory_twice(machine: ManagedMachine) -> None:
    """Start a second daemon, then a plugin beside a daemon; at the end enable the plugin without it."""
    beside = Plugin(machine.namespace)
    machine.create("data")
    running = machine.plugin.pid
    with pytest.raises(RuntimeError, match="another pyvol uses") as refused:
        beside.start()
    assert str(refused.value).count("another pyvol uses") == 1
    assert beside.wait() == BAD_SETTING
    assert machine.plugin.pid == running
    machine.run("-v", "data:/data", script="echo kept > /data/file")

    machine.plugin.disable()
    beside.start()
    assert "pyvol.sock" in machine.refused("plugin", "enable", "pyvol")
    assert not machine.plugin.inspect()["Enabled"]
    said = [line for line in machine.dockerd.logged().splitlines() if "another pyvol uses /var/lib/pyvol" in line]
    assert said
    assert all(f"plugin={machine.plugin.id}" in line and "pyvol.service" in line for line in said)
    assert [volume["name"] for volume in beside.ask("ls")] == ["data"]
    beside.stop()
    machine.plugin.await_cleared()  # the engine's last tries end after its answer, and remove mounts
    machine.plugin.enable()
    assert machine.run("-v", "data:/data", script="cat /data/file") == "kept"


@pytest.mark.background(scenario=serve_one_directory_twice)
def test_both_at_once_are_refused(background: Background) -> None:
    """The second of daemon and plugin does not start and changes nothing; the daemon exits with code 78.

    Docker tries for 12 seconds, and 20.10 then needs a new installation (`docs/managed-plugin.md`).
    """
    background.finish(serve_one_directory_twice)
