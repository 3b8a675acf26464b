"""The power fails while volumes on NFS are in use: after the next boot they exist and are not in use."""

import sys
from pathlib import Path

import pytest

from .uml import Guest, make_disk

pytestmark = pytest.mark.guest

ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).resolve().parent.parent), "HOME": str(Path.home())}
MEMORY_MIB = 1024


def test_volumes_in_use_survive_a_reboot(tmp_path: Path) -> None:
    """After a reboot all volumes have their data, and no claim, mount or lock of the earlier boot is left."""
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
