"""`volume-subpath`, which engines since 26 have: the plugin does not get it, but its claims are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .images import BOX

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = [pytest.mark.engine, pytest.mark.since("26")]


def mount_below(subpath: str) -> tuple[str, str]:
    """Return the option that mounts a directory of the volume."""
    return "--mount", f"type=volume,source=data,target=/below,volume-subpath={subpath}"


@pytest.mark.transcript("subpath")
def test_a_container_sees_a_directory_of_the_volume(machine: Machine) -> None:
    """The container sees only the sub-directory, and the engine sends an ordinary Mount and Unmount."""
    machine.create("data")
    below = machine.data("data") / "a" / "b"
    below.mkdir(parents=True)
    (below / "file").write_text("deep\n")
    assert machine.run(*mount_below("a/b"), script="ls /below; cat /below/file; touch /below/new") == "file\ndeep"

    assert (below / "new").exists()
    assert machine.calls("data").changes() == "C M(a) U(a)"
    assert machine.claims("data") == []


@pytest.mark.transcript("subpath-missing")
def test_a_directory_that_is_not_there(machine: Machine) -> None:
    """A missing sub-directory fails the start, and every Mount has its Unmount."""
    machine.create("data")
    machine.refused("run", "--rm", "--network", "none", *mount_below("absent"), BOX, "true")

    calls = machine.calls("data")
    assert calls.times("Mount") == calls.times("Unmount") > 0
    assert machine.claims("data") == []


def test_a_link_out_of_the_volume(machine: Machine) -> None:
    """A sub-path that a symlink leads out of the volume fails the start and leaves no claim."""
    machine.create("data")
    (machine.data("data") / "out").symlink_to("/etc")
    machine.refused("run", "--rm", "--network", "none", *mount_below("out"), BOX, "true")

    assert machine.claims("data") == []


@pytest.mark.live_restore
def test_a_volume_in_use_below_is_not_removed(machine: Machine) -> None:
    """If the engine has lost its references, the bind of a sub-directory still blocks a removal (fact 32)."""
    machine.create("data")
    (machine.data("data") / "a").mkdir()
    machine.launch("box", *mount_below("a"))
    machine.dockerd.kill()
    machine.recorder.answer_next("Get", b'{"Err": "not now"}', times=2)
    machine.dockerd.start()
    said = machine.refused("volume", "rm", "data")

    assert machine.calls("data").times("Remove") == 1
    assert "is mounted by" in said
    assert (machine.data("data") / "a").is_dir()
