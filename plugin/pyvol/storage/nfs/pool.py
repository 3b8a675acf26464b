"""A pool on an NFS export: the proxy of a local pool, with its mount and with locks that other hosts see.

<root>                   where the export is mounted, once for all volumes
<root>/volumes, …        as in a local pool, on the share
<root>/locks             which hosts have which volumes mounted, see `lock_files.py`

Implements `pyvol.core.ports.pool.SharedPool`.
"""

import errno
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.model.mount_spec import NfsExport
from pyvol.core.model.volume import Volume
from pyvol.core.ports.host import Clock, VolumeLog
from pyvol.core.ports.pool import Condition, Holder, PoolListing, Removal
from pyvol.host.mounts.table import KernelMounts
from pyvol.host.processes.fd_store import FdStore
from pyvol.host.system.machine import since_boot_s
from pyvol.storage.nfs.export_mount import TURN_WAIT_S, ExportMount
from pyvol.storage.nfs.pool_id import KnownPoolId
from pyvol.storage.nfs.volume_locks import VolumeLocks
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.remote.messages import ListHolders, Place, ReadStamp, ReadVolume, Request
from pyvol.storage.remote.pool import RemotePool
from pyvol.storage.remote.server import PATIENCE_S, Server

T = TypeVar("T")

LOOK_UP_S = 2.0


class NfsPool(RemotePool):
    """Volumes on an export that other hosts may have mounted too.

    Args:
        name: the pool's name in ``-o pool=``.
        root: where the export is mounted.
        host: this host's name, as other hosts see it.
        export: what is mounted.
        server: the export's server.
        fd_store: keeps the locks when this process ends.
        mounts: what the kernel says is mounted.
        clock: the time.
        log: the log.
        is_used: returns whether volumes of this pool are known.
        known_pool_id: which pool they are in.
        steady: returns the seconds since the boot.
        turn_wait_s: how long a request waits for another one that is mounting the export.

    Attributes:
        server: the export's server.
        refresh: has the pool's watcher look at the share, and waits for that for a moment.
        request_refresh: has the pool's watcher look at the share. Does not wait.
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
        log: VolumeLog,
        is_used: Callable[[], bool],
        known_pool_id: KnownPoolId,
        steady: Callable[[], float] = since_boot_s,
        turn_wait_s: float = TURN_WAIT_S,
    ) -> None:
        super().__init__(Place(name, root, host))
        self.server = server
        self._mount = ExportMount(self._place, export, server, mounts, log, is_used, known_pool_id, turn_wait_s)
        self._log = log
        self._volume_locks = VolumeLocks(
            self._place,
            server,
            fd_store,
            check_exclusive=self._mount.refuse_local_locks,
            clock=clock,
            log=log,
            steady=steady,
        )
        fd_store.when_lost(self._volume_locks.notice_loss)
        self.refresh: Callable[[], None] = lambda: None
        self.request_refresh: Callable[[], None] = lambda: None

    def mount(self) -> None:
        """Mount the export if it is not mounted.

        Raise `StorageFailed` if that fails, or if it has no pool.
        """
        self._mount.ensure_mounted()

    def attach(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.Attachments`. One request."""
        try:
            self.check(volume.spec)  # a manifest on the share must not give away this host's own directories
        except BadOption as error:
            raise StorageFailed("cannot be used", error.summary, error.hint, volume=volume.name) from None
        with self._naming(volume):
            return self._on_mount(partial(self._volume_locks.attach, volume))

    def is_attached(self, volume: Volume) -> bool:
        """See `pyvol.core.ports.pool.Attachments`."""
        return self._volume_locks.find(volume.name) is not None

    def attached(self) -> list[str]:
        """See `pyvol.core.ports.pool.Attachments`."""
        return [volume.name for volume in self._volume_locks.all()]

    def detach(self, volume: Volume) -> None:
        """See `pyvol.core.ports.pool.Attachments`. One request."""
        self._volume_locks.release(volume)

    def remove(self, volume: Volume, trashed: Volume | None) -> Removal:
        """See `pyvol.core.ports.pool.TrashStore`. One request, or two if this host holds the volume."""
        self.detach(volume)
        return super().remove(volume, trashed)

    def listing(self) -> PoolListing:
        """See `pyvol.core.ports.pool.VolumeStore`.

        Raise `StorageFailed` also if the export shows another pool.
        """
        found = super().listing()
        self._mount.confirm()
        return found

    def hold(self, volume: Volume) -> None:
        """See `pyvol.core.ports.pool.SharedStore`."""
        with self._naming(volume):
            if not self._volume_locks.verify(volume):
                self._mount.ensure_mounted()
                self._volume_locks.acquire(volume)

    def held(self) -> list[Volume]:
        """See `pyvol.core.ports.pool.SharedStore`."""
        return self._volume_locks.all()

    def take_over(self, keys: Collection[bytes]) -> None:
        """Use the locks that an earlier daemon has left in the fd store."""
        self._volume_locks.take_over(keys)

    def holders(self) -> list[Holder]:
        """See `pyvol.core.ports.pool.SharedStore`."""
        self._mount.ensure_mounted()
        return self.server.ask(ListHolders(self._place), list[Holder], LOOK_UP_S)

    def look_up(self, name: str) -> Volume | None:
        """See `pyvol.core.ports.pool.SharedStore`."""
        if self.server.is_down() or not self._mount.is_there():
            return None
        try:
            return self.server.ask(ReadVolume(self._place, name), Volume, LOOK_UP_S)
        except StorageFailed as error:
            if error.errno != errno.ENOENT:
                self._log.warning("share could not be asked for a volume", volume=name, error=str(error))
            return None

    def stamp(self) -> list[int] | None:
        """Return numbers that differ after each change of which volumes exist; None if they are not known."""
        if self.server.is_down() or not self._mount.is_there():
            return None
        try:
            return self.server.ask(ReadStamp(self._place), list[int], LOOK_UP_S)
        except StorageFailed:  # the watcher's next request reports it
            return None

    def problem(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.Attachments`."""
        if self.server.is_down():
            return self.server.summary()
        return self._volume_locks.problem(volume)

    def report(self, _: Volume) -> Mapping[str, str]:
        """See `pyvol.core.ports.pool.Attachments`."""
        facts = {fact.what: fact.summary for fact in self.condition()}
        if self._space is not None:
            facts["room"] = self._space.summary
        return facts

    def condition(self) -> list[Condition]:
        """See `pyvol.core.ports.pool.Attachments`."""
        server, mount = self.server.condition("server"), self._mount.condition()
        return [server, mount if mount.hint else mount._replace(hint=server.hint)]

    def invalidate_locks(self) -> None:
        """Make every lock need a verification: the server was away, and may have freed them."""
        self._volume_locks.invalidate()

    def _ask(self, request: Request, gives: type[T], volume: Volume | None = None, patience_s: float = PATIENCE_S) -> T:
        with self._naming(volume):
            return self._on_mount(lambda: self.server.ask(request, gives, patience_s))

    def _on_mount(self, act: Callable[[], T]) -> T:
        """Run an act on the mounted export; once more on a new mount if the server lost what was mounted."""
        self._mount.ensure_mounted()
        try:
            return act()
        except StorageFailed as error:
            if not self._mount.is_stale(error):
                raise
        self._mount.renew()
        self._volume_locks.invalidate()  # the locks are on what was mounted before
        return act()

    @contextmanager
    def _naming(self, volume: Volume | None) -> Iterator[None]:
        """Put the name of the volume, or of the pool, into an error that does not have it."""
        name = "" if volume is None else volume.name
        try:
            with storage_errors("cannot be used", volume=name, pool="" if name else self.name):
                yield
        except StorageFailed as error:
            error.blame("cannot be used", volume=name, pool="" if name else self.name)
            raise
