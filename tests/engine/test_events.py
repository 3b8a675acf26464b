"""`pyvol events` reports what a real engine does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = pytest.mark.engine


def test_events_report_a_volumes_life(machine: Machine) -> None:
    """A container's run, a removal and an undelete each appear as events, in order."""
    machine.create("shop")
    machine.run("-v", "shop:/data", script="touch /data/file")
    machine.docker("volume", "rm", "shop")
    machine.plugin.ask("undelete", "shop")
    lines = machine.plugin.run("events", "--no-follow").stdout.splitlines()

    shop = [line.split()[1] for line in lines if line.split()[2] == "shop"]
    assert shop[0] == "created"
    assert shop[-2:] == ["removed", "undeleted"]
    assert shop.count("mounted") == shop.count("unmounted") > 0
