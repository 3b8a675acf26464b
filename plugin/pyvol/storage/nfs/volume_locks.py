"""This host's locks on the volumes of a shared pool: taken by children, kept by the daemon and by its keeper.

The keeper is what makes them last while a daemon that was killed is away: containers go on then, too.
"""

import errno
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import dup

import msgspec

from pyvol.core.errors import StorageFailed, VolumeInUse
from pyvol.core.model.volume import Access, Volume
from pyvol.core.ports.host import Clock, Log
from pyvol.host.processes.fd_store import FdStore
from pyvol.host.processes.fds import close
from pyvol.host.processes.worker_pool import close_elsewhere
from pyvol.host.system.machine import since_boot_s
from pyvol.storage.remote.messages import Lock, Place, Relock, Relocked, Sign, Unlock
from pyvol.storage.remote.server import PATIENCE_S, Server

LOCK_S = 3.0
"""How long a mount waits for a lock that only tells other hosts; after its restart a server grants none for a while."""
SURE_S = 50.0
"""For how long a lock is believed in without a question; less than a follower's minute, so that it asks each time."""
LOST = "another host has had it since this one mounted it: stop the containers of one of them"
LAPSED = (
    "its lock was lost for a while, so another host may have had it since this one mounted it: see that its files are "
    "whole, and restart its containers"
)


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What the keeper knows of the files of a lock."""

    pool: str
    volume: Volume


_encode = msgspec.msgpack.Encoder().encode
_kept = msgspec.msgpack.Decoder(Kept)


class VolumeLocks:
    """The locks of one pool.

    Args:
        place: the pool's.
        server: it is on.
        fd_store: keeps their files open over the end of this process.
        clock: the time.
        log: the log.
    """

    def __init__(self, place: Place, server: Server, fd_store: FdStore, clock: Clock, log: Log) -> None:
        self._place = place
        self._server = server
        self._fd_store = fd_store
        self._clock = clock
        self._log = log
        self._held: dict[str, tuple[Volume, Sequence[int]]] = {}  # without files: the lock was lost
        self._lost: set[str] = set()  # names of what was lost since a container has it
        self._seen: dict[str, float] = {}
        self._doubted = float("-inf")

    def take_over(self, kept: Mapping[bytes, Sequence[int]]) -> None:
        """Take this pool's among the files that an earlier daemon has left to the keeper."""
        for key, files in kept.items():
            found = _decoded(key)
            if found is not None and found.pool == self._place.name:
                self._held[found.volume.name] = (found.volume, files)  # not seen: the server may have been away

    def find(self, name: str) -> Volume | None:
        """Return the volume of a name that is held, as it was when it was locked."""
        return self._held[name][0] if name in self._held else None

    def all(self) -> list[Volume]:
        """Return the volumes that are held, as they were when they were locked."""
        return [volume for volume, _ in list(self._held.values())]

    def problem(self, volume: Volume) -> str:
        """Return what other hosts may have done with a volume since this one took it; empty when nothing."""
        held, files = self._held.get(volume.name, (volume, None))
        if held.id != volume.id or files is None:
            return ""
        if not files:
            return LOST
        return LAPSED if held.spec.access is Access.EXCLUSIVE and volume.name in self._lost else ""

    def invalidate(self) -> None:
        """Have all locks taken once more: the server was away, and may have freed them."""
        self._doubted = since_boot_s()

    def verify(self, volume: Volume) -> bool:
        """Tell whether a volume is held for sure; raises `StorageFailed` when that can't be told and matters."""
        held, files = self._held.get(volume.name, (volume, ()))
        if not files:
            return False
        if held.id != volume.id or held.spec.access is not volume.spec.access:
            self.release(held)  # of that name another host has made a volume anew, which nobody here has locked
            return False
        exclusive = volume.spec.access is Access.EXCLUSIVE
        asked = since_boot_s()
        seen = self._seen.get(volume.name, float("-inf"))
        if not exclusive and seen > self._doubted and asked - seen < SURE_S:
            return True
        try:
            patience_s = PATIENCE_S if exclusive else LOCK_S
            found = self._server.ask(Relock(held), Relocked, patience_s, _duplicated(held, files))
        except StorageFailed:
            if exclusive:
                raise
            return True  # the follower asks again
        if not found.is_held or (found.has_lapsed and volume.name not in self._lost):  # a file says so each time
            self._lost.add(volume.name)
            self._log.warning("lock was lost", volume=volume.name, error="other hosts may have had the volume since")
        if not found.is_held:
            self._unlock(held)
            self._held[volume.name] = (held, ())
            return False
        self._seen[volume.name] = asked
        if not found.is_signed:
            self._sign(held, files)
        return True

    def acquire(self, volume: Volume) -> None:
        """Lock a volume; raises `VolumeInUse` and `StorageFailed`, unless it is only for other hosts to know."""
        exclusive = volume.spec.access is Access.EXCLUSIVE
        order, asked = Lock(self._place, volume, self._clock()), since_boot_s()
        try:
            files = self._server.ask_for_files(order, PATIENCE_S if exclusive else LOCK_S)
        except StorageFailed as error:
            if exclusive or self._server.is_down():
                raise
            # Other hosts could remove it meanwhile; the follower tries again.
            self._log.warning("other hosts do not know of a mount", volume=volume.name, error=str(error))
            return
        self._seen[volume.name] = asked
        self._keep(volume, files)

    def release(self, volume: Volume) -> None:
        """Unlock a volume; does nothing where it is not held."""
        self._lost.discard(volume.name)
        self._unlock(volume)

    def _unlock(self, volume: Volume) -> None:
        held = self._held.pop(volume.name, None)
        self._seen.pop(volume.name, None)
        if held is None or not held[1]:
            return
        self._fd_store.drop(self._key(held[0]))
        self._close(Unlock(self._place, held[0]), volume, held[1])

    @contextmanager
    def removing(self, volume: Volume) -> Iterator[None]:
        """See that nobody has a volume locked, nor locks it in the body; raises `VolumeInUse`."""
        try:
            files = self._server.ask_for_files(Lock(self._place, volume, self._clock(), removing=True))
        except StorageFailed as error:
            if error.errno != errno.ENOLCK:
                raise
            files = ()  # an export without locks: only this host's containers are known of
        removed = False
        try:
            yield
            removed = True
        finally:
            self._close(Unlock(self._place, volume, forget=removed), volume, files)

    def _sign(self, volume: Volume, files: Sequence[int]) -> None:
        """Say anew who has a volume: while this host was not heard of, another one has taken that away."""
        try:
            (signed,) = self._server.ask_for_files(Sign(self._place, volume, self._clock()), LOCK_S)
        except (StorageFailed, VolumeInUse) as error:
            self._log.warning("other hosts are not told who has a volume", volume=volume.name, error=str(error))
        else:
            self._keep(volume, [files[0], signed])
            close_elsewhere(files[1:])

    def _keep(self, volume: Volume, files: Sequence[int]) -> None:
        self._held[volume.name] = (volume, files)
        try:
            self._fd_store.keep(self._key(volume), files)
        except OSError as error:
            self._log.warning("lock would end with pyvol", volume=volume.name, error=str(error))

    def _close(self, order: Unlock, volume: Volume, files: Sequence[int]) -> None:
        try:
            self._server.force(order, type(None), files)
        except StorageFailed as error:
            # The file is closed all the same, and the kernel tells the server as soon as that answers.
            self._log.warning("lock let go of without an answer", volume=volume.name, error=str(error))

    def _key(self, volume: Volume) -> bytes:
        return _encode(Kept(self._place.name, volume))


def let_go_of_strays(
    kept: Mapping[bytes, Sequence[int]],
    pools: Collection[str],
    is_claimed: Callable[[Volume], bool],
    fd_store: FdStore,
    log: Log,
) -> None:
    """Let go of what an earlier daemon has left to the keeper and no pool has taken over: their settings are gone.

    A lock stays while its volume is claimed: the container has it still, whatever became of the settings.
    """
    strays: list[int] = []
    for key, files in kept.items():
        found = _decoded(key)
        if found is None:  # of another version of pyvol; what is claimed is locked anew, which this would prevent
            log.warning("lock of an earlier pyvol cannot be read, and is let go of")
        elif found.pool in pools:
            continue
        elif is_claimed(found.volume):
            why = "its pool is not in the settings, and it is claimed"
            log.warning("lock is kept", volume=found.volume.name, pool=found.pool, why=why)
            continue
        else:
            log.info("lock in a pool that is gone let go of", volume=found.volume.name, pool=found.pool)
        fd_store.drop(key)
        strays += files
    close_elsewhere(strays)


def _duplicated(volume: Volume, files: Sequence[int]) -> list[int]:
    duplicates: list[int] = []
    try:
        duplicates.extend(dup(file) for file in files)
    except OSError as error:
        close(duplicates)
        why = f"its lock could not be asked for ({error.strerror}): raise pyvol's limits, and try again"
        raise StorageFailed(f"volume {volume.name!r}: {why}") from error
    return duplicates


def _decoded(key: bytes) -> Kept | None:
    try:
        return _kept.decode(key)
    except msgspec.MsgspecError:
        return None
