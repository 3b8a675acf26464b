"""Mounted volumes (`type=`): the first container mounts and the last one unmounts, in every case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deadline import await_true

from .releases import SYSTEM_PATH

if TYPE_CHECKING:
    from pathlib import Path

    from .machine import Machine

pytestmark = [pytest.mark.engine, pytest.mark.beside]

READ = ("exec", "box", "cat", "/data/file")


def create_scratch(machine: Machine) -> None:
    """Create a tmpfs volume."""
    machine.create("scratch", type="tmpfs", device="tmpfs")


def mounted(machine: Machine) -> list[str]:
    """Return the mount points of pyvol's volumes in the namespace of pyvol and the engine."""
    seen = machine.namespace.run(["cat", "/proc/self/mountinfo"], env={"PATH": SYSTEM_PATH}).stdout
    places = [line.split()[4] for line in seen.splitlines()]
    return [place for place in places if place.startswith(f"{machine.plugin.root}/mounts/")]


@pytest.mark.live_restore
def test_a_mount_stays_as_long_as_its_container(machine: Machine, tmp_path: Path) -> None:
    """A mount survives copies, restarts of pyvol and engine, and another Activate (facts 7, 8, 9, 10, 40)."""
    create_scratch(machine)
    machine.launch("box", "-v", "scratch:/data", script="echo kept > /data/file; sleep 600")
    machine.docker("exec", "box", "sh", "-c", "until [ -s /data/file ]; do sleep 0.1; done")
    machine.copy_out("box:/data/file", str(tmp_path / "first"))
    machine.restart_plugin()
    machine.dockerd.kill()
    machine.dockerd.start()
    machine.copy_out("box:/data/file", str(tmp_path / "second"))  # also drops the container's stale claim
    machine.plugin.post("Plugin.Activate", {})
    machine.plugin.post("VolumeDriver.Mount", {"Name": "scratch", "ID": "another engine's"})
    machine.plugin.post("VolumeDriver.Unmount", {"Name": "scratch", "ID": "another engine's"})

    assert (tmp_path / "first").read_text() == (tmp_path / "second").read_text() == "kept\n"
    assert len(mounted(machine)) == 1
    assert machine.docker(*READ) == "kept"
    machine.docker("stop", "box")  # 20.10 then sends no Unmount; the next check finds that no process uses it
    machine.plugin.post("Plugin.Activate", {})
    await_true(lambda: mounted(machine) == [], "the mount to go")


def test_a_monitor_of_the_whole_host_keeps_no_mount(machine: Machine, tmp_path: Path) -> None:
    """A container with `-v /:/host` keeps no volume mounted, and does not block a removal."""
    disk = tmp_path / "disk"
    disk.mkdir()
    machine.namespace.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], env={"PATH": SYSTEM_PATH})
    machine.create("photos", path=str(disk))
    create_scratch(machine)
    machine.launch("box", "-v", "scratch:/data", "-v", "photos:/photos")
    machine.launch("monitor", "-v", "/:/host:ro,rslave")
    assert "tmpfs" in machine.docker("exec", "monitor", "grep", f" /host{disk} ", "/proc/mounts")
    machine.docker("rm", "--force", "box")
    machine.await_calls("Unmount", 2)

    assert mounted(machine) == []
    machine.docker("volume", "rm", "scratch", "photos")
    assert machine.running("monitor")
