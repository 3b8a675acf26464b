"""Renames a volume: one rename on disk and one commit. The volume keeps its former names."""

from collections.abc import Mapping

import msgspec

from pyvol.core.concurrency.named_locks import NamedLocks
from pyvol.core.errors import BadRequest, StorageFailed, VolumeExists, VolumeInUse
from pyvol.core.lifecycle.rollback import rolling_back
from pyvol.core.model.event_kind import EventKind
from pyvol.core.model.volume import Phase, Volume, check_name
from pyvol.core.ports.host import Catalog, MountTable, VolumeLog
from pyvol.core.ports.pool import Pool


class Renamer:
    """Renames volumes of this host.

    Args:
        catalog: what exists.
        pools: all pools by name.
        mounts: the kernel's tables of mounts.
        locks: the locks of the volumes.
        log: the log.
    """

    def __init__(
        self, *, catalog: Catalog, pools: Mapping[str, Pool], mounts: MountTable, locks: NamedLocks, log: VolumeLog
    ) -> None:
        self._catalog = catalog
        self._pools = pools
        self._mounts = mounts
        self._locks = locks
        self._log = log

    def rename(self, volume: Volume, new_name: str) -> Volume:
        """Rename a volume. Raise `VolumeInUse` if an engine has it mounted."""
        if volume.name == check_name(new_name):
            return volume
        first, second = sorted((volume.name, new_name))
        with self._locks.hold(first), self._locks.hold(second):
            pool = self._check(volume, new_name)
            renamed = with_name(volume, new_name)
            with rolling_back(pool.rename(volume, renamed), volume.name, self._log):
                self._catalog.rename(volume, renamed)
        self._log.event(EventKind.RENAMED, new_name, renamed_from=volume.name)
        return renamed

    def _check(self, volume: Volume, new_name: str) -> Pool:
        name = volume.name
        if self._catalog.find(name) != volume:
            raise StorageFailed(
                "cannot be renamed", "another request has changed it", "look at it, then try again", volume=name
            )
        if self._catalog.find(new_name) is not None:
            raise VolumeExists(
                "cannot be renamed", f"there is a volume {new_name!r}", "choose another name", volume=name
            )
        pool = self._pools.get(volume.spec.pool)
        if pool is None or not pool.traits.renames or volume.phase is Phase.UNREADABLE:
            raise BadRequest(
                "cannot be renamed",
                "its pool is shared with other hosts or missing, or its volume.json cannot be read",
                volume=name,
            )
        current = [claim for claim in self._catalog.claims(name) if claim.generation == self._catalog.generation]
        if current or pool.is_attached(volume) or self._mounts.users(pool.mountpoint(volume)):
            raise VolumeInUse("cannot be renamed", "it is in use", "stop its containers first", volume=name)
        return pool


def with_name(volume: Volume, new_name: str) -> Volume:
    """Return a volume with another name, and with its name among the former names."""
    former = tuple(dict.fromkeys(name for name in (*volume.former, volume.name) if name != new_name))
    return msgspec.structs.replace(volume, name=new_name, former=former)
