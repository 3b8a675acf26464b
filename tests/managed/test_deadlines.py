"""What waits is told of before the engine loses patience: after an enable it gives each request 30 seconds."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from engine.images import BOX
from engine.releases import SYSTEM_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.managed import ManagedMachine
    from engine.meanwhile import Meanwhile

pytestmark = pytest.mark.engine


def command(machine: ManagedMachine, *words: str) -> None:
    """Run a command on the machine that has to succeed."""
    done = machine.namespace.run(words, env={"PATH": SYSTEM_PATH})
    assert done.returncode == 0, done.stderr


@contextmanager
def frozen_disk(machine: ManagedMachine) -> Iterator[None]:
    """A disk on which nothing can be changed before it is thawed; the plugin is shown it, and has a volume there."""
    disk, image = machine.namespace.directory / "disk", machine.namespace.directory / "disk.img"
    disk.mkdir()
    command(machine, "truncate", "--size", "16M", str(image))
    command(machine, "mkfs.ext4", "-q", str(image))
    command(machine, "mount", "-o", "loop", str(image), str(disk))
    machine.plugin.restart()
    machine.create("data", path=str(disk), mode="0711")
    command(machine, "fsfreeze", "--freeze", str(disk))
    try:
        yield
    finally:
        command(machine, "fsfreeze", "--unfreeze", str(disk))


def start_two_on_a_frozen_disk(machine: ManagedMachine) -> None:
    """Start two containers on one volume: one waits for the disk, the other one for the first."""
    words = ["run", "--rm", "--network", "none", "-v", "data:/data", BOX, "true"]
    with frozen_disk(machine), ThreadPoolExecutor(2) as pool:
        refused = [started.result() for started in [pool.submit(machine.refused, *words) for _ in range(2)]]
    told = "volume 'data' is busy: another request holds it for over 25 s"
    assert [told in said for said in refused].count(True) == 1
    # So the engines say that their own time is over.
    assert any(re.search("Client.Timeout exceeded|context deadline exceeded", said) for said in refused)

    # The first was done after all, for an engine that had gone and will send no Unmount: it is no claim.
    assert machine.run("-v", "data:/data", script="stat -c %a /data") == "711"
    assert machine.claims("data") == []
    machine.docker("volume", "rm", "data")
    assert machine.volumes() == []


@pytest.mark.meanwhile(scenario=start_two_on_a_frozen_disk)
def test_a_mount_that_waits_is_told_of_in_time(meanwhile: Meanwhile) -> None:
    """Who waits for a volume gets pyvol's sentence after 25 s, and not the engine's time-out (fact 41)."""
    meanwhile.finish(start_two_on_a_frozen_disk)
