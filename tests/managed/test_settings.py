"""The settings of `docker plugin set`, and the plugin with fewer privileges."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.releases import SYSTEM_PATH

from .inside import hosts_engine, run_inside

if TYPE_CHECKING:
    from engine.managed import ManagedMachine

pytestmark = pytest.mark.engine


def test_settings_are_applied(machine: ManagedMachine) -> None:
    """Scope, trash period and log format are as set."""
    machine.plugin.restart(PYVOL_SCOPE="global", PYVOL_TRASH_KEEP="1d", PYVOL_LOG_FORMAT="json")
    machine.create("data")
    seen = machine.inspect_volume("data")
    assert seen["Scope"] == "global"
    assert "for 1d" in seen["Status"]["on_remove"]
    assert r"\"event\":\"volume created\"" in machine.dockerd.logged()


def test_a_path_of_the_host(machine: ManagedMachine, tmp_path: Path) -> None:
    """`path=` is a host path below paths.source, and a removal of the volume keeps its files."""
    disk, plain = tmp_path / "disk", tmp_path / "plain"
    disk.mkdir()
    plain.mkdir()
    machine.namespace.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], env={"PATH": SYSTEM_PATH})
    machine.plugin.restart()
    machine.create("data", path=str(plain))
    machine.run("-v", "data:/data", script="echo new > /data/there")
    assert (plain / "there").read_text() == "new\n"
    assert machine.inspect_volume("data")["Mountpoint"] == str(plain)
    machine.create("disk", path=str(disk))
    machine.launch("box", "-v", "disk:/data")
    assert "in use" in machine.refused("volume", "rm", "disk")
    machine.docker("rm", "--force", "box")
    machine.docker("volume", "rm", "disk", "data")
    assert (plain / "there").exists()
    said = machine.refused("volume", "create", "--driver", "pyvol", "--opt", "path=/opt/elsewhere", "data")
    assert "paths.source" in said
    assert "use the number" in machine.refused("volume", "create", "--driver", "pyvol", "--opt", "uid=bob", "data")


def test_the_command_line_finds_the_plugin(machine: ManagedMachine) -> None:
    """The command finds the plugin from the host without options, and works inside the plugin, doctor too."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    assert machine.pyvol("ls", "--quiet").stdout == "data\n"
    asked = run_inside(machine, "ls", "--quiet")
    assert asked.stdout == "data\n", asked.stderr
    doctors = (
        machine.pyvol("doctor", "--engine", str(machine.dockerd.api.path)),
        run_inside(machine, "doctor", "--engine", hosts_engine(machine)),
    )
    for doctor in doctors:
        assert "as the plugin pyvol:latest" in doctor.stdout
        assert f"plugin={machine.plugin.id}" in doctor.stdout
        assert "systemd" not in doctor.stdout
        assert doctor.returncode == 0, doctor.stdout


def test_without_the_hosts_processes(machine: ManagedMachine, tmp_path: Path) -> None:
    """Without pidhost in config.json volumes work, doctor reports the loss, and path= is refused."""
    machine.plugin.disable()
    with machine.another("narrow", PidHost=False) as narrow:
        machine.docker("volume", "create", "--driver", "narrow", "data")
        machine.run("-v", "data:/data", script="echo kept > /data/file")
        assert (machine.data("data") / "file").read_text() == "kept\n"
        assert machine.inspect_volume("data")["Mountpoint"] == "/var/lib/pyvol/volumes/data/_data"
        findings = {finding["check"]: finding for finding in json.loads(narrow.run("doctor", "--json").stdout)}
        assert "process namespace" in findings["mount namespaces"]["hint"]
        said = machine.refused("volume", "create", "--driver", "narrow", "--opt", f"path={tmp_path}", "other")
        assert "pidhost" in said
        machine.docker("volume", "rm", "data")


def test_the_image_is_small_and_bare(built: Path) -> None:
    """The image is under 200 MB, without pip, a compiler, or files left by its build."""
    root = built / "rootfs"
    size = subprocess.run(["du", "--summarize", "--block-size=1M", root], check=True, capture_output=True, text=True)
    assert int(size.stdout.split()[0]) < 200
    for unwanted in ("bin/pip*", "bin/gcc*", "bin/cc", "lib/python3*/site-packages/pip", "lib/python3*/ensurepip"):
        assert [*root.glob(f"usr/{unwanted}"), *root.glob(f"usr/local/{unwanted}")] == []
    assert (root / "usr/sbin/mount.nfs").exists()
    assert [*root.glob("root/.cache/*"), *root.glob("src/*"), *root.glob("tmp/*")] == []
