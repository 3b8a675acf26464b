"""Removing with docker, and undoing it: a wrong `docker volume rm` can be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deadline import await_true

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = [pytest.mark.engine, pytest.mark.beside]


def fill(machine: Machine, volume: str, text: str) -> None:
    """Write a file into a volume from a container."""
    machine.run("--volume-driver", "pyvol", "-v", f"{volume}:/data", script=f"echo {text} > /data/file")


def read(machine: Machine, volume: str) -> str:
    """Return the file's content as another container reads it."""
    return machine.run("-v", f"{volume}:/data", script="cat /data/file")


def test_a_removed_volume_comes_back(machine: Machine) -> None:
    """After rm, a crash of pyvol, undelete and a restart of the engine, a container reads the data."""
    fill(machine, "data", "precious")
    machine.docker("volume", "rm", "data")
    assert machine.volumes() == []
    machine.restart_plugin()
    machine.plugin.ask("undelete", "data")
    machine.dockerd.restart()

    assert machine.volumes() == ["data"]
    assert read(machine, "data") == "precious"
    assert machine.plugin.ask("trash", "ls") == []


def test_the_latest_of_several_comes_back(machine: Machine) -> None:
    """Undelete restores the latest of three volumes of one name that were removed within a second."""
    for life in ("first", "second", "third"):
        machine.dockerd.api.create_volume("data", "pyvol", {})
        (machine.data("data") / "file").write_text(life)
        machine.dockerd.api.remove_volume("data")
    machine.plugin.ask("undelete", "data")

    assert (machine.data("data") / "file").read_text() == "third"


def test_undelete_under_another_name(machine: Machine) -> None:
    """If the name is taken, undelete refuses, and can restore the volume under another name."""
    fill(machine, "data", "old")
    machine.docker("volume", "rm", "data")
    fill(machine, "data", "new")
    refused = machine.plugin.run("undelete", "data")
    assert refused.returncode
    assert "--as" in refused.stderr
    machine.plugin.ask("undelete", "data", "--as", "data-of-yesterday")

    assert machine.volumes() == ["data", "data-of-yesterday"]
    assert (read(machine, "data"), read(machine, "data-of-yesterday")) == ("new", "old")


def test_a_protected_volume_stays(machine: Machine) -> None:
    """With protect=true rm and rm -f fail with an error that says how to unprotect, and the data stays."""
    machine.create("data", protect="true")
    said = machine.refused("volume", "rm", "data")
    machine.refused("volume", "rm", "--force", "data")

    assert "data" in said
    assert "protect=false" in said
    assert machine.volumes() == ["data"]
    machine.plugin.ask("set", "data", "protect=false")
    machine.docker("volume", "rm", "data")
    assert machine.volumes() == []


def test_on_remove_delete_is_for_good(machine: Machine) -> None:
    """With on_remove=delete the volume is not in the trash, and its files are deleted in the background."""
    machine.create("data", on_remove="delete")
    (machine.data("data") / "file").write_text("gone\n")
    machine.docker("volume", "rm", "data")

    assert machine.plugin.ask("trash", "ls") == []
    await_true(lambda: not list(machine.plugin.root.rglob("file")), "the files to be deleted")


def test_on_remove_keep_has_no_limit(machine: Machine) -> None:
    """With on_remove=keep the volume stays in the trash without a deadline, and can be undeleted."""
    machine.create("data", on_remove="keep")
    machine.docker("volume", "rm", "data")

    [kept] = machine.plugin.ask("trash", "ls")
    assert (kept["name"], kept["until"]) == ("data", None)
    machine.plugin.ask("undelete", "data")
    assert machine.volumes() == ["data"]


@pytest.mark.transcript("remove-again")
def test_a_name_can_be_reused_many_times(machine: Machine) -> None:
    """A name can be created, used and removed repeatedly, and each new volume is empty."""
    for _ in range(3):
        assert machine.run("--volume-driver", "pyvol", "-v", "data:/data", script="ls /data; touch /data/file") == ""
        machine.docker("volume", "rm", "data")

    assert machine.calls("data").changes() == "C M(a) U(a) R C M(b) U(b) R C M(c) U(c) R"
    assert len(machine.plugin.ask("trash", "ls")) == 3
