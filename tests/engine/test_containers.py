"""The ways in which containers use volumes: the calls that each one causes, and the claims that it leaves."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from deadline import await_true

from .images import BOX, BOX_WITH_VOLUME, SEEDED

if TYPE_CHECKING:
    from pathlib import Path

    from .machine import Machine

pytestmark = pytest.mark.engine

BY_PYVOL = ("--volume-driver", "pyvol")
ANONYMOUS = re.compile(r"[0-9a-f]{64}")


@pytest.mark.transcript("run-named")
def test_a_named_volume_keeps_its_data(fresh: Machine) -> None:
    """`-v name:/data` creates the volume and mounts it once, and the next container finds the data."""
    fresh.run(*BY_PYVOL, "-v", "data:/data", script="echo kept > /data/file")
    assert fresh.run("-v", "data:/data", script="cat /data/file") == "kept"

    assert fresh.calls("data").changes() == "C M(a) U(a) M(b) U(b)"
    assert fresh.calls("data").of("Create")[0].asked["Opts"] is None
    assert (fresh.data("data") / "file").read_text() == "kept\n"
    assert fresh.claims("data") == []


@pytest.mark.transcript("run-mount-options")
def test_mount_syntax_carries_options(machine: Machine) -> None:
    """`--mount` with volume-opt creates the volume with these options."""
    wish = "type=volume,source=data,target=/data,volume-driver=pyvol,volume-opt=uid=1000,volume-opt=mode=0700"
    assert machine.run("--mount", wish, script="stat -c '%u %a' /data") == "1000 700"

    assert machine.calls("data").of("Create")[0].asked["Opts"] == {"uid": "1000", "mode": "0700"}
    assert machine.calls("data").changes() == "C M(a) U(a)"


@pytest.mark.transcript("run-read-only")
def test_read_only_is_the_engines_doing(machine: Machine) -> None:
    """With `:ro` the container can read but not write, and the engine sends the same calls as without."""
    machine.create("data")
    (machine.data("data") / "file").write_text("readable\n")
    said = machine.run("-v", "data:/data:ro", script="cat /data/file; touch /data/new 2>&1 || true")

    assert said.startswith("readable")
    assert "Read-only file system" in said
    assert machine.calls("data").changes() == "C M(a) U(a)"


@pytest.mark.transcript("run-anonymous")
def test_an_anonymous_volume_goes_with_its_container(machine: Machine) -> None:
    """An anonymous volume has 64 hex digits and no options, and --rm deletes it without using the trash."""
    machine.run(*BY_PYVOL, "-v", "/data", script="echo gone > /data/file")

    [created] = machine.calls().of("Create")
    assert ANONYMOUS.fullmatch(created.volume)
    assert created.asked["Opts"] is None
    assert machine.calls(created.volume).changes() == "C M(a) U(a) R"
    assert machine.volumes() == []
    await_true(lambda: not list((machine.plugin.root / "trash").glob("*")), "the anonymous volume to be deleted")


@pytest.mark.transcript("run-image-volume")
def test_an_image_volume_goes_to_the_driver(machine: Machine) -> None:
    """With --volume-driver, an image's VOLUME is an anonymous pyvol volume with the image's content."""
    container = machine.docker("create", "--network", "none", *BY_PYVOL, BOX_WITH_VOLUME, "cat", f"{SEEDED}/greeting")
    [volume] = machine.volumes()
    assert ANONYMOUS.fullmatch(volume)
    assert machine.docker("start", "--attach", container) == "from the image"
    machine.docker("rm", "--volumes", container)

    assert machine.calls(volume).changes() == "C M(a) U(a) M(b) U(b) R"
    assert machine.volumes() == []


@pytest.mark.transcript("volumes-from")
def test_volumes_from_shares_the_same_volume(machine: Machine) -> None:
    """`--volumes-from` mounts the other container's volume with a different mount ID."""
    machine.launch("owner", *BY_PYVOL, "-v", "data:/data", script="echo shared > /data/file; sleep 600")
    assert machine.run("--volumes-from", "owner", script="cat /data/file") == "shared"
    machine.docker("stop", "owner")

    assert machine.calls("data").changes() == "C M(a) M(b) U(b) U(a)"
    assert machine.claims("data") == []


@pytest.mark.transcript("two-containers")
def test_two_containers_share_one_volume(machine: Machine) -> None:
    """Two containers on one volume have one claim each, and an exit releases only one of them."""
    machine.create("data")
    machine.launch("one", "-v", "data:/data")
    machine.launch("two", "-v", "data:/data")
    assert [claim.count for claim in machine.claims("data")] == [1, 1]
    machine.docker("exec", "one", "sh", "-c", "echo hello > /data/file")
    assert machine.docker("exec", "two", "cat", "/data/file") == "hello"
    machine.docker("stop", "one")
    assert [claim.count for claim in machine.claims("data")] == [1]
    assert machine.docker("exec", "two", "cat", "/data/file") == "hello"
    machine.docker("stop", "two")

    assert machine.claims("data") == []
    assert machine.calls("data").changes() == "C M(a) M(b) U(a) U(b)"


def test_one_volume_twice_in_one_container(machine: Machine) -> None:
    """A container that mounts a volume at two paths causes two Mounts with two IDs."""
    machine.create("data")
    machine.run("-v", "data:/one", "-v", "data:/two", script="echo same > /one/file; cat /two/file")

    assert machine.calls("data").of("Mount").notation() == "M(a) M(b)"
    assert machine.calls("data").times("Unmount") == 2
    assert machine.claims("data") == []


def test_one_volume_inside_another(machine: Machine) -> None:
    """Files below an inner volume's path are in the inner volume, and both unmount with the container."""
    machine.create("outer")
    machine.create("inner")
    machine.run("-v", "inner:/data/below", "-v", "outer:/data", script="echo deep > /data/below/file")

    assert (machine.data("inner") / "file").read_text() == "deep\n"
    assert list(machine.data("outer").rglob("*")) == [machine.data("outer") / "below"]
    machine.docker("volume", "rm", "outer", "inner")


@pytest.mark.transcript("stop-and-start")
def test_each_start_is_a_new_mount(machine: Machine) -> None:
    """Each start mounts under a new ID; pause, rename, exec and inspect send the plugin no request."""
    machine.create("data")
    machine.launch("box", "-v", "data:/data")
    machine.docker("pause", "box")
    machine.docker("unpause", "box")
    machine.docker("rename", "box", "crate")
    machine.docker("exec", "crate", "true")
    machine.docker("inspect", "crate")
    machine.docker("logs", "crate")
    machine.docker("restart", "crate")
    machine.docker("stop", "crate")
    machine.docker("start", "crate")
    machine.docker("rm", "--force", "crate")

    assert machine.calls("data").changes() == "C M(a) U(a) M(b) U(b) M(c) U(c)"
    assert machine.claims("data") == []


@pytest.mark.transcript("restart-policy")
def test_a_restart_policy_mounts_again_each_time(machine: Machine) -> None:
    """A container that fails and is restarted twice mounts three times, and leaves no claim."""
    machine.create("data")
    failing = ("sh", "-c", "echo again >> /data/file; exit 3")
    container = machine.docker(
        "run", "--detach", "--network", "none", "--restart", "on-failure:2", "-v", "data:/data", BOX, *failing
    )
    machine.await_calls("Unmount", 3)
    await_true(lambda: not machine.running(container), "the engine to stop restarting the container")

    assert machine.calls("data").changes() == "C M(a) U(a) M(b) U(b) M(c) U(c)"
    assert (machine.data("data") / "file").read_text() == "again\n" * 3
    assert machine.claims("data") == []


def test_a_container_that_cannot_start_leaves_no_claim(machine: Machine) -> None:
    """After a start that fails later than its Mount, the engine sends the Unmount."""
    machine.create("data")
    machine.refused("run", "--rm", "--network", "none", "-v", "data:/data", BOX, "/no/such/program")

    assert machine.calls("data").changes() == "C M(a) U(a)"
    assert machine.claims("data") == []


def test_a_failing_mount_leaves_no_claim(machine: Machine, tmp_path: Path) -> None:
    """If the second volume cannot be mounted, the first is released; no claim is left (facts 26, 39)."""
    lost = tmp_path / "lost"
    lost.mkdir()
    machine.create("whole")
    machine.create("broken", path=str(lost))
    lost.rmdir()
    said = machine.refused("run", "--rm", "--network", "none", "-v", "whole:/a", "-v", "broken:/b", BOX, "true")

    assert "broken" in said
    assert machine.calls("broken").of("Mount", "Unmount").notation() == "M(a)!"
    assert machine.calls("whole").times("Mount") == machine.calls("whole").times("Unmount")
    assert machine.claims("whole") == machine.claims("broken") == []


def test_many_containers_start_at_once(machine: Machine) -> None:
    """Mounts of one volume that arrive together are all counted and all released (fact 11)."""
    machine.create("data")
    names = [f"box-{number}" for number in range(6)]
    for name in names:
        machine.docker("create", "--network", "none", "--name", name, "-v", "data:/data", BOX, "sleep", "600")
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: machine.docker("start", name), names))
    assert [claim.count for claim in machine.claims("data")] == [1] * len(names)
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: machine.docker("kill", name), names))
    machine.await_calls("Unmount", len(names))

    assert machine.claims("data") == []
