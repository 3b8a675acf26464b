"""A lock of this host as the daemon knows it, and as the fd store does."""

from collections.abc import Callable, Collection

import msgspec

from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import Volume
from pyvol.core.ports.host import Log
from pyvol.host.processes.fd_store import FdStore
from pyvol.host.processes.worker_pool import close_elsewhere
from pyvol.storage.nfs.lock_files import is_exclusive

LOST = "another host has had it since this one mounted it: stop the containers of one of them"
LAPSED = (
    "its lock was lost for a while, so another host may have had it since this one mounted it: check that its files "
    "are whole, and restart its containers"
)


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What the fd store knows of the files of a lock."""

    pool: str
    volume: Volume


class HeldLock(msgspec.Struct, frozen=True):
    """A lock of this host.

    Attributes:
        volume: the volume as it was when it was locked.
        is_held: this host has the lock; false from the moment when it was found to be lost until it is taken
            again.
        was_lost: another host may have had the volume since a container of this host has it.
        verified: when the lock was last known to be held, in seconds since the boot.
    """

    volume: Volume
    is_held: bool = True
    was_lost: bool = False
    verified: float = float("-inf")

    def confirmed(self, verified: float, *, has_expired: bool) -> "HeldLock":
        """Return the lock after a verification."""
        return msgspec.structs.replace(self, was_lost=self.was_lost or has_expired, verified=verified)

    def problem(self) -> str:
        """Return what other hosts may have done with the volume since it was locked; empty if nothing."""
        if not self.is_held:
            return LOST
        return LAPSED if self.was_lost and is_exclusive(self.volume) else ""


def not_locked(volume: Volume, cause: str) -> StorageFailed:
    """Return the error for a lock that this process lacks open files for."""
    hint = "raise pyvol's limits, then try again"
    return StorageFailed("cannot be locked against other hosts", cause, hint, volume=volume.name)


_encode = msgspec.msgpack.Encoder().encode
_kept = msgspec.msgpack.Decoder(Kept)


def key(pool: str, volume: Volume) -> bytes:
    """Return the key of a lock's files in the fd store."""
    return _encode(Kept(pool, volume))


def decode(of: bytes) -> Kept | None:
    """Return the lock that a key is of; None if another version of pyvol made the key."""
    try:
        return _kept.decode(of)
    except msgspec.MsgspecError:
        return None


def release_strays(
    keys: Collection[bytes],
    pools: Collection[str],
    is_claimed: Callable[[Volume], bool],
    fd_store: FdStore,
    log: Log,
) -> None:
    """Release what an earlier daemon left in the fd store for pools that are not in the settings any more.

    A lock stays while its volume is claimed: a container still has the volume, whatever became of the
    settings.
    """
    strays: list[int] = []
    for each in keys:
        found = decode(each)
        if found is None:  # of another version of pyvol; it would keep this one from locking what is claimed
            log.warning("lock of an earlier pyvol cannot be read, and is released")
        elif found.pool in pools:
            continue
        elif is_claimed(found.volume):
            why = "its pool is not in the settings, and it is claimed"
            log.warning("lock is kept", volume=found.volume.name, pool=found.pool, why=why)
            continue
        else:
            log.info("lock in a pool that is gone released", volume=found.volume.name, pool=found.pool)
        strays += fd_store.take(each)
    close_elsewhere(strays)
