"""NFS pools without NFS: the code of hosts and workers, over one directory in place of a mounted share.

The code of the workers runs in the process of the test, unless the share has worker processes.
"""

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from fakes import FakeClock, FakeLog
from nullserver import NullServer
from pyvol.core.errors import StorageFailed
from pyvol.core.model.mount_spec import NfsExport
from pyvol.host.mounts.table import KernelMounts
from pyvol.host.processes.fd_store import FdStore
from pyvol.host.processes.fds import close
from pyvol.host.processes.worker_pool import Message, WorkerPool
from pyvol.storage.nfs import held_locks, worker
from pyvol.storage.nfs.export_mount import TURN_WAIT_S
from pyvol.storage.nfs.pool import NfsPool
from pyvol.storage.nfs.pool_id import KnownPoolId
from pyvol.storage.remote.messages import Request
from pyvol.storage.remote.server import PATIENCE_S, Server

T = TypeVar("T")

SERVER_PATIENCE_S = 20.0
"""A dead server fails at once here; a server that is up may be slow on a busy machine."""


class Mounted(KernelMounts):
    """A kernel that has a mount at every place.

    Attributes:
        options: the options of each mount.
    """

    def __init__(self) -> None:
        super().__init__()
        self.options = "rw,vers=4.2,local_lock=none"

    def describe(self, _: str) -> str:
        """Return a line of mountinfo."""
        return f"nas.lan:/pool nfs4 ({self.options})"

    def is_mountpoint(self, _: str) -> bool:
        """Return that it is."""
        return True


class WorkersHere(WorkerPool):
    """Workers that carry out each request in the thread of its caller.

    The files go to them as to a process.
    """

    def __init__(self) -> None:
        super().__init__(worker.__name__, 1)

    def call(self, request: Message, _: float, __: Callable[[], None]) -> Message:
        """See `WorkerPool.call`."""
        self.calls += 1
        return worker.handle(request)


class WatchedServer(Server):
    """A server that notes its requests, and whose answers a test can change.

    Attributes:
        requests: the names of the messages that workers got.
        asked: is called with each request before a worker gets it, and may raise what the server would.
        answered: is called with each request and its answer, and returns the answer to give.
    """

    def __init__(self, port: int, workers: WorkerPool | None) -> None:
        name, log = worker.__name__, FakeLog()
        super().__init__("127.0.0.1", port, SERVER_PATIENCE_S, log, worker=name, workers=workers, prober=workers)
        self.requests: list[str] = []
        self.asked: Callable[[Request], None] = lambda _: None
        self.answered: Callable[[Request, object], object] = lambda _, answer: answer

    def exchange(
        self, request: Request, gives: type[T], patience_s: float = PATIENCE_S, files: Sequence[int] = ()
    ) -> tuple[T, Sequence[int]]:
        """See `Server.exchange`."""
        try:
            self.asked(request)
        except StorageFailed:
            close(files)
            raise
        self.requests.append(type(request).__name__)
        answer, descriptors = super().exchange(request, gives, patience_s, files)
        return self.answered(request, answer), descriptors  # type: ignore[return-value]  # a test returns what it got

    def force(self, request: Request, gives: type[T], files: Sequence[int] = ()) -> T:
        """See `Server.force`."""
        self.requests.append(type(request).__name__)
        return super().force(request, gives, files)


class Share:
    """A directory that several hosts have mounted.

    Args:
        root: the directory.
        has_processes: whether worker processes carry out the requests, as in the daemon.
    """

    def __init__(self, root: Path, *, has_processes: bool = False) -> None:
        self.root = root
        self._has_processes = has_processes
        self.root.mkdir(exist_ok=True)
        self.clock = FakeClock()
        self.kernel = Mounted()
        self.nas = NullServer()
        self.fd_stores: dict[NfsPool, FdStore] = {}
        self._servers: list[WatchedServer] = []

    def pool(
        self, host: str = "host-1", *, name: str = "default", is_used: bool = False, turn_wait_s: float = TURN_WAIT_S
    ) -> NfsPool:
        """Return the pool as one of the hosts has it."""
        server = WatchedServer(self.nas.port, None if self._has_processes else WorkersHere())
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
            steady=self.clock.steady,
            turn_wait_s=turn_wait_s,
        )
        pool.take_over(fd_store.take_over())
        self.fd_stores[pool] = fd_store
        return pool

    def files(self, pool: NfsPool, name: str) -> Sequence[int]:
        """Return duplicates of the files of the lock that a pool's host has on a volume."""
        volume = pool._volume_locks.find(name)
        assert volume is not None
        return self.fd_stores[pool].files(held_locks.key(pool.name, volume)) or ()

    def kill(self, pool: NfsPool) -> None:
        """Kill the daemon that has a pool. The object stands for no daemon afterwards."""
        fd_store = self.fd_stores[pool]
        with fd_store._lock:
            fd_store._hang_up()
            fd_store._keys.clear()
        pool._volume_locks._held.clear()

    def kill_host(self, pool: NfsPool) -> None:
        """Kill the host of a pool, which ends its fd store too."""
        self.kill(pool)
        self.kill_fd_store(pool)

    def kill_fd_store(self, pool: NfsPool) -> None:
        """Kill the process that keeps the locks of a pool's host."""
        process = self.fd_stores[pool]._process
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End the server, and all processes."""
        self.nas.stop()
        for pool in self.fd_stores:
            self.kill_host(pool)
        deadline = time.monotonic() + 30
        for server in self._servers:
            server.stop()
            while server.workers():
                assert time.monotonic() < deadline
                time.sleep(0.01)


def unlock(files: Sequence[int]) -> None:
    """Unlock open files as their server does when a lease ends, and close the descriptors."""
    for file in files:
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)
