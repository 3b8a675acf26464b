"""What a daemon left that was killed while it mounted something."""

import subprocess
import time
from pathlib import Path

from fakes import FakeLog
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.mounts import stale_mounts
from pyvol.storage.remote.server import Servers


def test_only_what_nobody_uses_goes(scratch: Path) -> None:
    """A mount for a moment and an empty directory go; a volume's mount, and what is no mount of ours, stay."""
    for name in (".v", "w", "x", "y/file"):
        (scratch / name).mkdir(parents=True)
    for name in (".v", "w"):
        subprocess.run(["mount", "-t", "tmpfs", "nas.lan:/export", scratch / name], check=True)
    servers, mounts, log = Servers(5.0, FakeLog()), KernelMounts(), FakeLog()
    try:
        stale_mounts.clear(str(scratch), servers, mounts, log)
        assert {path.name for path in scratch.iterdir()} == {"w", "y"}
        assert mounts.is_mountpoint(str(scratch / "w"))
        assert log.events == []
    finally:
        subprocess.run(["umount", scratch / "w"], check=True)
        servers.stop()
        while sum(server.children() for server in servers._all()):
            time.sleep(0.01)
    stale_mounts.clear(str(scratch / "nowhere"), servers, mounts, log)
