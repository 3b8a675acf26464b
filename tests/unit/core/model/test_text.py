"""Names from a container or a disk cannot control a terminal or corrupt an answer."""

from pathlib import Path

import pytest

from house import House
from pyvol.cli.table import health_cell, show_table
from pyvol.core.model.volume import MountUser

NASTY = "/a\udcff\x1b[2J\x1b]0;title\x07\x9b"


def test_an_error_names_a_containers_own_mountpoint(tmp_path: Path) -> None:
    """A container mounts its volume at a place of any name, and a process calls itself what it likes."""
    house = House(tmp_path)
    house.volumes.create("v", None)
    house.kernel.table[str(house.data("v"))] = [MountUser(7, "\x1b[31mred", NASTY)]
    client = house.app().test_client()
    reply = client.post("/VolumeDriver.Remove", data=b'{"Name": "v"}')
    assert reply.status_code == 500
    said = reply.get_json(force=True)["Err"]
    assert said.isprintable()
    assert r"\x1b[31mred (pid 7) at /a\udcff\x1b[2J" in said
    house.close()


def test_the_doctor_reports_any_name(tmp_path: Path) -> None:
    """The doctor reports a directory in the pool whatever its name is, with control characters escaped."""
    house = House(tmp_path)
    (tmp_path / "pool/volumes" / NASTY[1:]).mkdir()
    found = house.app().test_client().get("/v1/doctor").get_json(force=True)
    assert r"directories that are not in the catalog: a\udcff\x1b[2J" in str([f["summary"] for f in found]).replace(
        "\\\\", "\\"
    )
    house.close()


def test_tables_do_not_steer_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal too a table has no control characters but its own colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    show_table(("NAME",), [("a\x1b]0;title\x07\x9b",), (health_cell("b\x1b[2J"),)], "")
    shown = capsys.readouterr().out
    assert "\x1b]0" not in shown
    assert "\x1b[2J" not in shown
    assert "\x9b" not in shown
    assert r"a\x1b]0;title" in shown
