"""A pool on an NFS export: the code of `LocalPool`, run in a child that can be killed.

<root>                   where the export is mounted, once for all volumes
<root>/volumes, …        as in a local pool, on the share
<root>/locks             which hosts have which volumes mounted, see `lock_files.py`

Implements `pyvol.core.ports.pool.SharedPool`.
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import msgspec

from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.model.mount_spec import NfsExport
from pyvol.core.model.volume import Access, Phase, Space, Volume, VolumeSpec
from pyvol.core.ports.host import Clock, Log
from pyvol.core.ports.pool import Condition, Holder, PoolListing, Rollback
from pyvol.host.mounts.table import KernelMounts
from pyvol.host.processes.fd_store import FdStore
from pyvol.storage.layout import DATA, TRASH, VOLUMES
from pyvol.storage.nfs.export_mount import ExportMount
from pyvol.storage.nfs.pool_id import KnownPoolId
from pyvol.storage.nfs.volume_locks import VolumeLocks
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.remote.messages import AskHolders, Look, Place, Use
from pyvol.storage.remote.server import PATIENCE_S, Server

T = TypeVar("T")

LOOK_UP_S = 2.0
SWEEP_S = 3600.0


class NfsPool:
    """Volumes on an export that other hosts may have mounted too.

    Args:
        name: what ``-o pool=`` calls it.
        root: where it is mounted.
        host: this host's name, for others.
        export: what is mounted.
        server: it is on.
        fd_store: keeps locks over the end of this process.
        mounts: what the kernel says is mounted.
        clock: the time.
        log: the log.
        is_used: tells whether volumes of this pool are known.
        known_pool_id: which pool they are of.

    Attributes:
        server: the one that it is on.
        refresh: has its follower look, and waits for that for a moment.
        request_refresh: has its follower look, and waits for nothing.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each by its name
        self,
        *,
        name: str,
        root: str,
        host: str,
        export: NfsExport,
        server: Server,
        fd_store: FdStore,
        mounts: KernelMounts,
        clock: Clock,
        log: Log,
        is_used: Callable[[], bool],
        known_pool_id: KnownPoolId,
    ) -> None:
        self.name = name
        self.is_remote = True
        self.root = root
        self._place = Place(name, root, host)
        self.server = server
        self._mount = ExportMount(self._place, export, server, mounts, log, is_used, known_pool_id)
        self._log = log
        self._volume_locks = VolumeLocks(self._place, server, fd_store, clock, log)
        self._space: Space | None = None
        self.refresh: Callable[[], None] = lambda: None
        self.request_refresh: Callable[[], None] = lambda: None

    def mountpoint(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        if volume.spec.subdir is not None:
            return f"{self.root}/{volume.spec.subdir}"
        if volume.phase is Phase.TRASHED:
            return f"{self.root}/{TRASH}/{volume.id}/{DATA}"
        return f"{self.root}/{VOLUMES}/{volume.name}/{DATA}"

    def check(self, spec: VolumeSpec) -> VolumeSpec:
        """See `pyvol.core.ports.pool.Pool`."""
        for key in ("path", "type"):
            if getattr(spec, key) is not None:
                raise BadOption(f"{key}= is not for pool {self.name!r}, which is on an NFS export: leave out pool")
        return spec

    def foreign_mount(self, _: VolumeSpec) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        return ""

    def mount(self) -> None:
        """Mount the export where it isn't, and see that it holds a pool; raises `StorageFailed`."""
        self._mount.ensure_mounted()

    def provision(self, volume: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        self._use("provision", type(None), volume)

        def undo() -> None:
            self.stage_deletion(volume)

        return undo

    def write_manifest(self, volume: Volume) -> None:
        """See `pyvol.core.ports.pool.Pool`."""
        self._use("write_manifest", type(None), volume)

    def attach(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        try:
            self.check(volume.spec)  # who writes to the share does not get this host's own directories
        except BadOption as error:
            raise StorageFailed(f"volume {volume.name!r}: {error}") from None
        before = self._volume_locks.find(volume.name)
        self.hold(volume)
        try:
            return self._use("attach", str, volume)
        except StorageFailed:
            if before is None or before.id != volume.id:
                self.detach(volume)
            raise

    def is_attached(self, volume: Volume) -> bool:
        """See `pyvol.core.ports.pool.Pool`."""
        return self._volume_locks.find(volume.name) is not None

    def attached(self) -> list[str]:
        """See `pyvol.core.ports.pool.Pool`."""
        return [volume.name for volume in self._volume_locks.all()]

    def detach(self, volume: Volume) -> None:
        """See `pyvol.core.ports.pool.Pool`."""
        self._volume_locks.release(volume)

    def hold(self, volume: Volume) -> None:
        """See `pyvol.core.ports.pool.SharedPool`."""
        with self._naming(volume):
            if self._volume_locks.verify(volume):
                return
            self._mount.ensure_mounted()
            if volume.spec.access is Access.EXCLUSIVE:
                self._mount.refuse_local_locks()
            self._volume_locks.acquire(volume)

    def held(self) -> list[Volume]:
        """See `pyvol.core.ports.pool.SharedPool`."""
        return self._volume_locks.all()

    def take_over(self, kept: Mapping[bytes, Sequence[int]]) -> None:
        """Go on with the locks that an earlier daemon has left."""
        self._volume_locks.take_over(kept)

    def holders(self) -> list[Holder]:
        """See `pyvol.core.ports.pool.SharedPool`."""
        self._mount.ensure_mounted()
        return self.server.ask(AskHolders(self._place), list[Holder], LOOK_UP_S)

    @contextmanager
    def removing(self, volume: Volume) -> Iterator[None]:
        """See `pyvol.core.ports.pool.Pool`."""
        self.detach(volume)
        with ExitStack() as lock:
            with self._naming(volume):
                self._mount.ensure_mounted()
                lock.enter_context(self._volume_locks.removing(volume))
            yield

    def holds(self, volume: Volume) -> bool:
        """See `pyvol.core.ports.pool.Pool`."""
        return self._use("holds", bool, volume)

    def to_trash(self, volume: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        self._use("to_trash", type(None), volume)
        live = msgspec.structs.replace(volume, phase=Phase.READY, removed=None, until=None)
        return lambda: self._use("from_trash", type(None), live)

    def from_trash(self, volume: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        with self._naming(volume):
            entry = self.read_trashed(volume.id)
        self._use("from_trash", type(None), volume)
        back = msgspec.structs.replace(entry, name=volume.name)
        return lambda: self._use("to_trash", type(None), back)

    def rename(self, volume: Volume, _: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`: other hosts know the volume by its name."""
        raise StorageFailed(f"volume {volume.name!r} keeps its name: its pool is shared with other hosts")

    def stage_deletion(self, *volumes: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        with ExitStack() as undo:
            for volume in volumes:
                if self.holds(volume):
                    self._use("stage_deletion", type(None), volume)
                    undo.callback(self._use, "restore", type(None), volume)
            return undo.pop_all().close

    def listing(self) -> PoolListing:
        """See `pyvol.core.ports.pool.Pool`."""
        found = self._use("listing", PoolListing)
        self._mount.confirm()
        return found

    def pending_deletion(self) -> frozenset[str]:
        """See `pyvol.core.ports.pool.Pool`."""
        return self._use("pending_deletion", frozenset[str])

    def look_up(self, name: str) -> Volume | None:
        """See `pyvol.core.ports.pool.SharedPool`."""
        if self.server.is_down() or not self._mount.is_there():
            return None
        try:
            return self.server.ask(Use(self._place, "read_live", text=name), Volume, LOOK_UP_S)
        except StorageFailed as error:
            if error.errno != errno.ENOENT:
                self._log.warning("share could not be asked for a volume", volume=name, error=str(error))
            return None

    def read_live(self, name: str) -> Volume:
        """See `pyvol.core.ports.pool.Pool`."""
        return self._use("read_live", Volume, text=name)

    def read_trashed(self, volume_id: str) -> Volume:
        """See `pyvol.core.ports.pool.Pool`."""
        return self._use("read_trashed", Volume, text=volume_id)

    def stamp(self) -> list[int] | None:
        """Return what is another after each change of which volumes there are; None when that can't be told."""
        if self.server.is_down() or not self._mount.is_there():
            return None
        try:
            return self.server.ask(Look(self._place), list[int], LOOK_UP_S)
        except StorageFailed:  # which is told of by who works then
            return None

    def clear_unfinished(self) -> int:
        """See `pyvol.core.ports.pool.Pool`. What is in the making may be another host's: only what is old goes."""
        return self._use("clear_forgotten", int)

    def purge(self, volume_id: str) -> None:
        """See `pyvol.core.ports.pool.Pool`."""
        self._use("purge", type(None), text=volume_id, patience_s=SWEEP_S)

    def space(self) -> Space:
        """See `pyvol.core.ports.pool.Pool`."""
        self._space = self._use("space", Space)
        return self._space

    def problem(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        if self.server.is_down():
            return self.server.summary()
        return self._volume_locks.problem(volume)

    def report(self, _: Volume) -> Mapping[str, str]:
        """See `pyvol.core.ports.pool.Pool`."""
        facts = {fact.what: fact.summary for fact in self.condition()}
        if self._space is not None:
            facts["room"] = self._space.summary
        return facts

    def condition(self) -> list[Condition]:
        """See `pyvol.core.ports.pool.Pool`."""
        server, mount = self.server.condition("server"), self._mount.condition()
        return [server, mount if mount.hint else mount._replace(hint=server.hint)]

    def _use(
        self, verb: str, gives: type[T], volume: Volume | None = None, *, text: str | None = None, patience_s: float = 0
    ) -> T:
        order = Use(self._place, verb, volume, text)
        patience_s = patience_s or PATIENCE_S
        with self._naming(volume):
            self._mount.ensure_mounted()
            try:
                return self.server.ask(order, gives, patience_s)
            except StorageFailed as error:
                if not self._mount.is_stale(error):
                    raise
            self._mount.renew()
            self._volume_locks.invalidate()  # locks lie on what was mounted before
            return self.server.ask(order, gives, patience_s)

    def doubt_locks(self) -> None:
        """Have all locks taken once more: the server was away, and may have freed them."""
        self._volume_locks.invalidate()

    @contextmanager
    def _naming(self, volume: Volume | None) -> Iterator[None]:
        """See that an error names the volume."""
        whose = f"pool {self.name!r}" if volume is None else f"volume {volume.name!r}"
        try:
            with storage_errors(whose, "be used"):
                yield
        except StorageFailed as error:
            if whose in str(error) or (volume is None and str(error).startswith(("volume", "removed volume"))):
                raise
            raise type(error)(f"{whose}: {error}") from error.__cause__
