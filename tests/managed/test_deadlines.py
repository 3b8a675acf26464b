"""pyvol's answers arrive before the engine's time-out, which is 30 s per request after an enable."""

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

    from engine.background import Background
    from engine.managed import ManagedMachine

pytestmark = pytest.mark.engine


def command(machine: ManagedMachine, *words: str) -> None:
    """Run a command on the machine that must succeed."""
    done = machine.namespace.run(words, env={"PATH": SYSTEM_PATH})
    assert done.returncode == 0, done.stderr


@contextmanager
def frozen_disk(machine: ManagedMachine) -> Iterator[None]:
    """Freeze the file system of a volume that the plugin uses through `path`, and unfreeze it at the end."""
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
    """Start two containers on one volume: the first waits for the disk, the second waits for the first."""
    words = ["run", "--rm", "--network", "none", "-v", "data:/data", BOX, "true"]
    with frozen_disk(machine), ThreadPoolExecutor(2) as pool:
        refused = [started.result() for started in [pool.submit(machine.refused, *words) for _ in range(2)]]
    busy = "volume 'data' is busy: another request has held its lock for more than 25 s"
    assert [busy in said for said in refused].count(True) == 1
    # The engine reports its own time-out to the first container.
    assert any(re.search("Client.Timeout exceeded|context deadline exceeded", said) for said in refused)

    # pyvol completed the first Mount for an engine that no longer waits and sends no Unmount: no claim is
    # left.
    assert machine.run("-v", "data:/data", script="stat -c %a /data") == "711"
    assert machine.claims("data") == []
    machine.docker("volume", "rm", "data")
    assert machine.volumes() == []


@pytest.mark.background(scenario=start_two_on_a_frozen_disk)
def test_a_mount_that_waits_fails_in_time(background: Background) -> None:
    """A Mount that waits for another request gets pyvol's error after 25 s, not a time-out (fact 41)."""
    background.finish(start_two_on_a_frozen_disk)
