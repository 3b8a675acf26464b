"""The volume commands of the Docker CLI, and the calls that each one causes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = [pytest.mark.engine, pytest.mark.beside]


@pytest.mark.transcript("volume-life")
def test_a_volume_lives_and_ends(fresh: Machine) -> None:
    """Create, ls, inspect and rm send Get and Create, List, Get, and Get twice with Remove (fact 19)."""
    fresh.docker("volume", "create", "--driver", "pyvol", "data")
    assert fresh.volumes() == ["data"]
    seen = fresh.inspect_volume("data")
    fresh.docker("volume", "rm", "data")

    assert (seen["Name"], seen["Driver"], seen["Scope"]) == ("data", "pyvol", "local")
    assert seen["Mountpoint"] == str(fresh.data("data"))
    assert fresh.volumes() == []
    assert fresh.calls().notation() == "A K G! C L G G G R L"


def test_every_reply_closes_its_connection(machine: Machine) -> None:
    """Each reply, errors too, closes its connection, so that no request loses its body (fact 29)."""
    machine.create("data")
    machine.docker("volume", "inspect", "data")
    machine.refused("volume", "inspect", "absent")
    machine.docker("volume", "rm", "data")

    calls = machine.calls()
    assert calls
    assert all(("connection", "close") in [(k.lower(), v) for k, v in call.reply_headers] for call in calls)


@pytest.mark.transcript("create-twice")
def test_a_second_create_changes_nothing(machine: Machine) -> None:
    """For a name that exists the engine sends only Get, and silently ignores the new options (fact 12)."""
    machine.create("data", mode="0711")
    machine.create("data", mode="0700")

    assert machine.calls("data").notation() == "G! C G"
    assert machine.data("data").stat().st_mode & 0o777 == 0o711


@pytest.mark.transcript("create-options")
def test_options_arrive_and_are_shown(machine: Machine) -> None:
    """Options reach pyvol as strings, and inspect shows them, a Status and a creation time (facts 2, 12)."""
    machine.create("data", uid="1000", gid="1001", mode="0750")
    seen = machine.inspect_volume("data")

    state = machine.data("data").stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (1000, 1001, 0o750)
    assert seen["Options"] == {"uid": "1000", "gid": "1001", "mode": "0750"}
    assert seen["Status"]
    assert seen["CreatedAt"].startswith("20")
    assert machine.calls("data").of("Create")[0].asked["Opts"] == {
        "uid": "1000",
        "gid": "1001",
        "mode": "0750",
    }


@pytest.mark.transcript("create-unknown-option")
def test_an_unknown_option_is_refused_by_name(machine: Machine) -> None:
    """A mistyped option fails the create with an error that names volume, option and the likely option."""
    said = machine.refused("volume", "create", "--driver", "pyvol", "--opt", "modee=0700", "data")

    assert "data" in said
    assert "modee" in said
    assert "mode" in said.replace("modee", "")
    assert "<" not in said
    assert machine.volumes() == []


@pytest.mark.transcript("create-bad-names")
def test_an_invalid_name_is_refused(machine: Machine) -> None:
    """The engine passes on every name, and pyvol refuses names that could be paths (fact 6)."""
    names = ["a b", "..", "../../etc/x", "-x", "é", "x" * 300]
    for name in names:
        assert "is not a volume name" in machine.refused("volume", "create", "--driver", "pyvol", "--", name)

    assert [call.volume for call in machine.calls().of("Create")] == names
    assert all(call.error for call in machine.calls().of("Create"))
    assert machine.volumes() == []


def test_labels_stay_with_the_engine(machine: Machine) -> None:
    """The engine does not send labels to the plugin, but inspect shows them (fact 18)."""
    machine.docker("volume", "create", "--driver", "pyvol", "--label", "tier=gold", "data")

    assert machine.inspect_volume("data")["Labels"] == {"tier": "gold"}
    assert b"gold" not in b"".join(call.body for call in machine.calls())


def test_an_unknown_volume_is_unknown(machine: Machine) -> None:
    """Inspect and rm report an unknown volume, and rm -f of an unknown volume succeeds."""
    assert "no such volume" in machine.refused("volume", "inspect", "absent").lower()
    assert "no such volume" in machine.refused("volume", "rm", "absent").lower()
    machine.docker("volume", "rm", "--force", "absent")

    assert machine.calls().changes() == ""


@pytest.mark.transcript("remove-in-use")
def test_a_volume_of_a_container_is_kept_by_the_engine(machine: Machine) -> None:
    """While a container refers to a volume, the engine refuses rm and rm -f without sending Remove."""
    machine.create("data")
    machine.launch("user", "-v", "data:/data")
    assert "in use" in machine.refused("volume", "rm", "data")
    machine.docker("stop", "user")
    assert "in use" in machine.refused("volume", "rm", "--force", "data")
    machine.docker("rm", "user")
    machine.docker("volume", "rm", "--force", "data")

    assert machine.calls("data").changes() == "C M(a) U(a) R"


def test_prune_and_df_ignore_pyvol(machine: Machine) -> None:
    """Volume prune and system df use only the local driver, so they prune no pyvol volume (fact 20)."""
    machine.create("data")
    machine.recorder.forget()
    machine.docker("volume", "prune", "--force")
    machine.docker("system", "df", "--verbose")

    assert machine.calls().changes() == ""
    assert machine.volumes() == ["data"]


def test_one_list_for_many_volumes(machine: Machine) -> None:
    """A list costs one List for any number of volumes, and shows each name once (facts 2, 31)."""
    names = [f"data-{number}" for number in range(5)]
    for name in names:
        machine.create(name)
    machine.recorder.forget()

    assert machine.volumes() == names
    assert machine.calls().notation() == "L"


def test_a_name_belongs_to_one_driver(machine: Machine) -> None:
    """Another driver cannot create a volume with the name of a pyvol volume."""
    machine.create("data")

    assert "must be unique" in machine.refused("volume", "create", "--driver", "local", "data")
    assert machine.calls("data").changes() == "C"
