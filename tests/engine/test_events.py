"""`pyvol events` reports what a real engine does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = pytest.mark.engine


def test_events_report_a_volumes_life(machine: Machine) -> None:
    """A container's run, a removal and an undelete each appear as events, in order."""
    machine.create("told")
    machine.run("-v", "told:/data", script="touch /data/file")
    machine.docker("volume", "rm", "told")
    machine.plugin.ask("undelete", "told")
    lines = machine.plugin.run("events", "--no-follow").stdout.splitlines()

    told = [line.split()[1] for line in lines if line.split()[2] == "told"]
    assert told[0] == "created"
    assert told[-2:] == ["removed", "undeleted"]
    assert told.count("mounted") == told.count("unmounted") > 0
