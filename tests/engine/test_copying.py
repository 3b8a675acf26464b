"""`docker cp`, which mounts and unmounts with the running container's mount ID (fact 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .plugin import Claimed

if TYPE_CHECKING:
    from pathlib import Path

    from .machine import Machine

pytestmark = pytest.mark.engine


def own_claim(machine: Machine) -> Claimed:
    """Return the claim that the first Mount of the running container made."""
    return Claimed("data", machine.calls("data").of("Mount")[0].mount_id, count=1, stale=False)


@pytest.mark.transcript("cp-out-running")
def test_copying_out_of_a_running_container(machine: Machine, tmp_path: Path) -> None:
    """A copy out repeats the container's ID in Mount and Unmount; the container's claim stays (fact 7)."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data", script="echo inside > /data/file; sleep 600")
    machine.docker("exec", "box", "sh", "-c", "until [ -s /data/file ]; do sleep 0.1; done")
    machine.copy_out("box:/data/file", str(tmp_path / "out"))

    assert (tmp_path / "out").read_text() == "inside\n"
    assert machine.calls("data").changes() == "C M(a) M(a) U(a)"
    assert machine.claims("data") == [own_claim(machine)]
    assert machine.docker("exec", "box", "cat", "/data/file") == "inside"
    machine.docker("stop", "box")
    assert machine.calls("data").changes() == "C M(a) M(a) U(a) U(a)"
    assert machine.claims("data") == []


@pytest.mark.transcript("cp-in-running")
def test_copying_into_a_running_container(machine: Machine, tmp_path: Path) -> None:
    """A copy in sends two pairs of Mount and Unmount, writes the file, and leaves one claim (fact 7)."""
    (tmp_path / "in").write_text("from outside\n")
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    machine.docker("cp", str(tmp_path / "in"), "box:/data/file")

    assert machine.docker("exec", "box", "cat", "/data/file") == "from outside"
    assert (machine.data("data") / "file").read_text() == "from outside\n"
    assert machine.calls("data").changes() == "C M(a) M(a) U(a) M(a) U(a)"
    assert machine.claims("data") == [own_claim(machine)]


@pytest.mark.transcript("cp-stopped")
def test_copying_with_a_stopped_container(machine: Machine, tmp_path: Path) -> None:
    """Copies to and from a stopped container use new mount IDs and leave no claim."""
    (tmp_path / "in").write_text("from outside\n")
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    machine.docker("stop", "box")
    machine.docker("cp", str(tmp_path / "in"), "box:/data/file")
    machine.copy_out("box:/data/file", str(tmp_path / "out"))

    assert (tmp_path / "out").read_text() == "from outside\n"
    calls = machine.calls("data")
    assert calls.times("Mount") == calls.times("Unmount") == 4
    assert machine.claims("data") == []


def test_a_mount_that_fails_in_a_copy_changes_nothing(machine: Machine, tmp_path: Path) -> None:
    """A copy whose Mount fails does not affect the running container, whatever Unmount follows (fact 40)."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data", script="echo inside > /data/file; sleep 600")
    machine.recorder.answer_next("Mount", b'{"Mountpoint": "", "Err": "not now"}')
    machine.refused("cp", "box:/data/file", str(tmp_path / "out"))

    assert machine.docker("exec", "box", "sh", "-c", "echo more >> /data/file; cat /data/file") == "inside\nmore"
    assert "in use" in machine.refused("volume", "rm", "data")
    machine.docker("rm", "--force", "box")
    assert machine.claims("data") == []
    machine.docker("volume", "rm", "data")
