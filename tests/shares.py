"""NFS pools without NFS: the code of hosts and their children over one directory that is taken for a mounted share."""

import os
import time
from pathlib import Path

from fakes import FakeClock, FakeLog
from nullserver import NullServer
from pyvol.core.model.mount_spec import NfsExport
from pyvol.host.mounts.table import KernelMounts
from pyvol.host.processes.fd_store import FdStore
from pyvol.storage.nfs.pool import NfsPool
from pyvol.storage.nfs.pool_id import KnownPoolId
from pyvol.storage.remote.server import Server

PATIENCE_S = 20.0
"""One that is dead says so at once here; one that lives may be slow on a busy machine."""


class Mounted(KernelMounts):
    """A kernel that has whatever it is asked for mounted.

    Attributes:
        options: those of each mount.
    """

    def __init__(self) -> None:
        super().__init__()
        self.options = "rw,vers=4.2,local_lock=none"

    def describe(self, _: str) -> str:
        """Return what stands in mountinfo."""
        return f"nas.lan:/pool nfs4 ({self.options})"

    def is_mountpoint(self, _: str) -> bool:
        """Say yes."""
        return True


class Share:
    """A directory that several hosts have mounted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.root.mkdir(exist_ok=True)
        self.clock = FakeClock()
        self.kernel = Mounted()
        self.nas = NullServer()
        self._servers: list[Server] = []
        self._lives: list[tuple[NfsPool, FdStore]] = []

    def pool(self, host: str = "host-1", *, name: str = "default", is_used: bool = False) -> NfsPool:
        """The pool as one of the hosts has it."""
        server = Server("127.0.0.1", self.nas.port, PATIENCE_S, FakeLog())
        self._servers.append(server)
        state = self.root.with_name(f"{self.root.name}-{host}")
        state.mkdir(exist_ok=True)
        fd_store = FdStore(str(state), FakeLog())
        pool = NfsPool(
            name=name,
            root=str(self.root),
            host=host,
            export=NfsExport("127.0.0.1", "/pool", ""),
            server=server,
            fd_store=fd_store,
            mounts=self.kernel,
            clock=self.clock,
            log=FakeLog(),
            is_used=lambda: is_used,
            known_pool_id=KnownPoolId(str(state / f"pyvol.pool-{name}"), FakeLog()),
        )
        pool.take_over(fd_store.take_over())
        self._lives.append((pool, fd_store))
        return pool

    def kill(self, pool: NfsPool, *, host: bool = False) -> None:
        """Have the daemon die that has a pool, or its host with it; what it does after is of another life."""
        fd_store = next(fd_store for other, fd_store in self._lives if other is pool)
        if host and fd_store._process is not None:
            fd_store._process.kill()
            fd_store._process.wait()
        for _, files in pool._volume_locks._held.values():
            for file in files:
                os.close(file)
        pool._volume_locks._held.clear()
        fd_store.close()

    def close(self) -> None:
        """End the server, and all children."""
        self.nas.stop()
        for pool, _ in self._lives:
            self.kill(pool, host=True)
        deadline = time.monotonic() + 30
        for server in self._servers:
            server.stop()
            while server.children():
                assert time.monotonic() < deadline
                time.sleep(0.01)
