"""Detaches volumes that no engine has mounted any more."""

from collections.abc import Mapping
from contextlib import suppress

from pyvol.core.concurrency.named_locks import NamedLocks
from pyvol.core.errors import Busy, StorageFailed
from pyvol.core.lifecycle.pool_lookup import pool_of
from pyvol.core.model.event_kind import EventKind
from pyvol.core.ports.host import Catalog, MountTable, VolumeLog
from pyvol.core.ports.pool import Pool


class Detacher:
    """Detaches volumes after their last claim.

    Args:
        catalog: what exists and what is promised.
        pools: all pools by name.
        mounts: the kernel's tables of mounts.
        locks: the locks of the volumes.
        log: the log.

    Attributes:
        degraded: by id, the last problem of a volume. An id stays with its volume; a name does not.
    """

    def __init__(
        self, *, catalog: Catalog, pools: Mapping[str, Pool], mounts: MountTable, locks: NamedLocks, log: VolumeLog
    ) -> None:
        self._catalog = catalog
        self._pools = pools
        self._mounts = mounts
        self._locks = locks
        self._log = log
        self.degraded: dict[str, str] = {}

    def detach(self, name: str) -> None:
        """Detach a volume, unless it has a claim or is in use. The caller holds its lock."""
        volume = self._catalog.find(name)
        if volume is None or self._catalog.claims(name):
            return
        try:
            pool = pool_of(self._pools, volume)
            # A claim can be lost, so the kernel decides whether the volume is in use (engine fact 40).
            if pool.is_attached(volume) and not self._mounts.users(pool.mountpoint(volume)):
                pool.detach(volume)
        except StorageFailed as error:
            # Release the claim in any case: after an error the engine would keep the ID and its count (engine
            # fact 37).
            self.degraded[volume.id] = str(error)
            self._log.event(EventKind.FAILED, name, code=error.code, error=str(error))

    def detach_all(self) -> None:
        """Detach what an Unmount left attached: detach failed or pyvol was killed (engine fact 37)."""
        for volume_id in list(self.degraded):
            if self._catalog.find_id(volume_id) is None:  # another host has removed it
                self.degraded.pop(volume_id, None)
        for pool in self._pools.values():
            for name in pool.attached():
                if not self._catalog.claims(name):
                    # A busy volume does not delay the others or the trash: the next round tries again.
                    with suppress(Busy), self._locks.hold(name):
                        self.detach(name)
