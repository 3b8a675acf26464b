"""The next start cleans up after a daemon that was killed while it mounted something."""

import subprocess
import time
from pathlib import Path

from fakes import FakeLog
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.mounts import stale_mounts
from pyvol.storage.nfs import worker
from pyvol.storage.remote.servers import Servers


def test_only_what_is_not_used_is_deleted(scratch: Path) -> None:
    """Temporary mounts and empty directories are deleted; volumes' mounts and other directories stay."""
    for name in (".v", "w", "x", "y/file"):
        (scratch / name).mkdir(parents=True)
    for name in (".v", "w"):
        subprocess.run(["mount", "-t", "tmpfs", "nas.lan:/export", scratch / name], check=True)
    servers, mounts, log = Servers(5.0, FakeLog(), worker=worker.__name__), KernelMounts(), FakeLog()
    try:
        stale_mounts.clear(str(scratch), servers, mounts, log)
        assert {path.name for path in scratch.iterdir()} == {"w", "y"}
        assert mounts.is_mountpoint(str(scratch / "w"))
        assert log.events == []
    finally:
        subprocess.run(["umount", scratch / "w"], check=True)
        servers.stop()
        while sum(server.workers() for server in servers._all()):
            time.sleep(0.01)
    stale_mounts.clear(str(scratch / "nowhere"), servers, mounts, log)
