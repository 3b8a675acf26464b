"""The power goes while volumes on NFS are in use: after the next boot they are there, and nobody holds them."""

import sys
from pathlib import Path

import pytest

from .uml import Guest, make_disk

pytestmark = pytest.mark.guest

ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).resolve().parent.parent), "HOME": str(Path.home())}
MEMORY_MIB = 1024


def test_volumes_in_use_outlive_a_reboot(tmp_path: Path) -> None:
    """Pool volumes, plain exports and local ones have their data; claims, mounts and locks are gone with the boot."""
    disks = [make_disk(tmp_path / name, 64) for name in ("server", "host")]
    said = []
    for life, end in (("before", "in use"), ("after", "all is right")):
        with Guest(disks=disks, memory_mib=MEMORY_MIB) as guest:
            command = ["sh", "-c", 'exec "$@" 2>&1', "sh", sys.executable, "-m", "nfs.rebooted", life]
            try:
                for line in guest.lines(*command, env=ENVIRONMENT, timeout_s=120):
                    said.append(line)
                    if line == end:
                        break
            except AssertionError as error:
                pytest.fail("\n".join([*said, str(error)]))
            guest.cut_power()
        assert said[-1] == end, "\n".join(said)
