"""This host's locks on the volumes of a shared pool: workers take them, and the fd store alone keeps them.

The fd store outlives a daemon that is killed or upgraded, so that containers keep their locks in the
meantime. The daemon asks the fd store for a lock's files only to verify the lock or to release it.
"""

import threading
from collections.abc import Callable, Collection, Sequence

import msgspec

from pyvol.core.errors import StorageFailed, VolumeInUse
from pyvol.core.model.event_kind import EventKind
from pyvol.core.model.volume import Volume
from pyvol.core.ports.host import Clock, VolumeLog
from pyvol.core.ports.pool import VolumeChanged
from pyvol.host.processes.fd_store import FdStore
from pyvol.host.processes.fds import close
from pyvol.host.processes.worker_pool import close_elsewhere
from pyvol.host.system.machine import since_boot_s
from pyvol.storage.nfs import held_locks
from pyvol.storage.nfs.held_locks import HeldLock
from pyvol.storage.nfs.lock_files import is_exclusive
from pyvol.storage.remote.messages import (
    Attached,
    AttachReply,
    AttachVolume,
    Changed,
    LockLost,
    LockNeed,
    LockVolume,
    Place,
    Relocked,
    SignLock,
    UnlockVolume,
    VerifyLock,
)
from pyvol.storage.remote.server import PATIENCE_S, Server

LOCK_S = 3.0
"""How long to wait for a lock that only informs: a server grants none for a while after its restart."""
ATTACH_S = 5.0
"""How long a Mount waits for the request that also takes such a lock, before it goes without the lock."""
SURE_S = 50.0
"""How long a lock counts as held; less than a minute, so the watcher verifies it each time."""
NOT_KNOWN = "other hosts do not know of a mount"


class VolumeLocks:
    """The locks of one pool. The caller holds the lock of the volume's name for each call that has a volume.

    Args:
        place: the pool's.
        server: it is on.
        fd_store: keeps the files of the locks.
        check_exclusive: raises `StorageFailed` if other hosts do not see the locks of this mount.
        clock: the time.
        log: the log.
        steady: returns the seconds since the boot.
    """

    def __init__(  # noqa: PLR0913  # what a lock needs
        self,
        place: Place,
        server: Server,
        fd_store: FdStore,
        *,
        check_exclusive: Callable[[], None],
        clock: Clock,
        log: VolumeLog,
        steady: Callable[[], float] = since_boot_s,
    ) -> None:
        self._place = place
        self._server = server
        self._fd_store = fd_store
        self._check_exclusive = check_exclusive
        self._clock = clock
        self._log = log
        self._steady = steady
        self._held: dict[str, HeldLock] = {}
        self._guard = threading.Lock()
        self._doubted = float("-inf")

    def take_over(self, keys: Collection[bytes]) -> None:
        """Use the locks of this pool that an earlier daemon has left in the fd store."""
        for key in keys:
            found = held_locks.decode(key)
            if found is not None and found.pool == self._place.name:
                self._held[found.volume.name] = HeldLock(found.volume)  # not verified: the server may have been away

    def find(self, name: str) -> Volume | None:
        """Return the volume with a name that this host holds, as it was when it was locked."""
        held = self._held.get(name)
        return None if held is None else held.volume

    def all(self) -> list[Volume]:
        """Return the volumes that this host holds, as they were when they were locked."""
        return [held.volume for held in list(self._held.values())]

    def problem(self, volume: Volume) -> str:
        """Return what other hosts may have done with a volume since this one locked it; empty if nothing."""
        held = self._held.get(volume.name)
        return "" if held is None or held.volume.id != volume.id else held.problem()

    def invalidate(self) -> None:
        """Make every lock need a verification: the server was away, and may have freed them."""
        self._doubted = self._steady()

    def notice_loss(self) -> None:
        """Mark the locks that ended with the fd store as lost. Safe to call from any thread."""
        for held in list(self._held.values()):
            if held.is_held and not self._fd_store.has(self._key(held.volume)):
                self._mark_lost(held)

    def attach(self, volume: Volume) -> str:
        """Lock a volume and make it usable, in one request; return its mountpoint.

        Raises `VolumeInUse`, `VolumeChanged` and `StorageFailed`; a new lock is released then.
        """
        alone = is_exclusive(volume)
        need, files = self._find_need(volume)
        if need is LockNeed.TAKE and alone:
            self._check_exclusive()
        asked = self._steady()
        request = AttachVolume(self._place, volume, self._clock(), need)
        patience_s = PATIENCE_S if alone or need is LockNeed.NONE else ATTACH_S
        not_locked = ""
        try:
            reply, taken = self._server.exchange(request, AttachReply, patience_s, files)
        except StorageFailed as error:
            if alone or need is LockNeed.NONE or error.errno or self._server.is_down():
                raise
            # The lock may be what takes so long. It only informs other hosts, and the watcher tries again.
            request = msgspec.structs.replace(request, lock=LockNeed.NONE)
            reply, taken = self._server.exchange(request, AttachReply)
            not_locked = str(error) if need is LockNeed.TAKE else ""
        match reply.result:
            case Changed(now):
                raise VolumeChanged(now)
            case LockLost():
                self._mark_lost(self._held[volume.name])
                return self.attach(volume)
            case Attached(path, relocked, reason):
                if taken:
                    self._put(volume, taken, asked)
                elif relocked is not None:
                    self._note_verified(self._held[volume.name], relocked, asked)
                if not_locked or reason:
                    self._log.warning(NOT_KNOWN, volume=volume.name, error=not_locked or reason)
                return path

    def verify(self, volume: Volume) -> bool:
        """Return whether this host holds a volume. Raise `StorageFailed` if that is not known and matters."""
        need, files = self._find_need(volume)
        if need is not LockNeed.VERIFY:
            return need is LockNeed.NONE
        held, asked = self._held[volume.name], self._steady()
        alone = is_exclusive(volume)
        patience_s = PATIENCE_S if alone else LOCK_S
        try:
            found = self._server.ask(VerifyLock(held.volume), Relocked, patience_s, files)
        except StorageFailed:
            if alone:
                raise
            return True  # the watcher verifies it again
        if found.is_held:
            self._note_verified(held, found, asked)
        else:
            self._mark_lost(held)
        return found.is_held

    def acquire(self, volume: Volume) -> None:
        """Lock a volume that this host has mounted already, and whose lock it does not have, or not any more.

        Raise `VolumeInUse`, and `StorageFailed` unless the lock only informs other hosts.
        """
        alone = is_exclusive(volume)
        if alone:
            if volume.name not in self._held:  # its lock ended with the fd store while no daemon was there to notice
                self._held[volume.name] = HeldLock(volume, is_held=False, was_lost=True)
                self._report_lost(volume)
            self._check_exclusive()
        request, asked = LockVolume(self._place, volume, self._clock()), self._steady()
        try:
            _, files = self._server.exchange(request, type(None), PATIENCE_S if alone else LOCK_S)
        except StorageFailed as error:
            if alone or self._server.is_down():
                raise
            # Other hosts could remove the volume in the meantime. The watcher tries again.
            self._log.warning(NOT_KNOWN, volume=volume.name, error=str(error))
            return
        self._put(volume, files, asked)

    def release(self, volume: Volume) -> None:
        """Unlock a volume. Does nothing if this host does not hold it."""
        with self._guard:
            held = self._held.pop(volume.name, None)
        if held is not None:
            self._unlock(held.volume)

    def _find_need(self, volume: Volume) -> tuple[LockNeed, Sequence[int]]:
        """Return what a Mount has to do about a volume's lock, and the files to do that with."""
        held = self._held.get(volume.name)
        if held is not None and (held.volume.id != volume.id or held.volume.spec.access is not volume.spec.access):
            self.release(held.volume)  # another host has created a new volume with that name, which nobody here locked
            held = None
        if held is None or not held.is_held:
            return LockNeed.TAKE, ()
        is_fresh = held.verified > self._doubted and self._steady() - held.verified < SURE_S
        if is_fresh and not is_exclusive(volume) and self._fd_store.has(self._key(held.volume)):
            return LockNeed.NONE, ()
        try:
            files = self._fd_store.files(self._key(held.volume))
        except OSError as error:
            if not is_exclusive(volume):
                return LockNeed.NONE, ()  # the watcher verifies it again
            raise held_locks.not_locked(volume, f"its lock cannot be verified: {error.strerror}") from error
        if files is None:
            self._mark_lost(held)
            return LockNeed.TAKE, ()
        return LockNeed.VERIFY, files

    def _note_verified(self, held: HeldLock, found: Relocked, asked: float) -> None:
        if found.has_expired and not held.was_lost:  # the kernel says so each time
            self._report_lost(held.volume)
        self._replace(held, held.confirmed(asked, has_expired=found.has_expired))
        if not found.is_signed:
            self._sign(held.volume)

    def _mark_lost(self, held: HeldLock) -> None:
        """Note that the server has freed a lock, or that it ended with the fd store."""
        if self._replace(held, msgspec.structs.replace(held, is_held=False, was_lost=True)):
            self._report_lost(held.volume)
            self._unlock(held.volume)

    def _report_lost(self, volume: Volume) -> None:
        self._log.event(EventKind.LOCK_LOST, volume.name, error="another host may have had the volume since")

    def _replace(self, held: HeldLock, now: HeldLock) -> bool:
        """Replace what is known of a lock, unless another thread has done so."""
        with self._guard:
            is_current = self._held.get(held.volume.name) is held
            if is_current:
                self._held[held.volume.name] = now
            return is_current

    def _sign(self, volume: Volume) -> None:
        """Write again which host has a volume: another host deletes that from a file without a lock."""
        try:
            request = SignLock(self._place, volume, self._clock())
            _, signed = self._server.exchange(request, type(None), LOCK_S)
        except (StorageFailed, VolumeInUse) as error:
            self._log.warning("other hosts cannot see who has a volume", volume=volume.name, error=str(error))
            return
        key = self._key(volume)
        ours: Sequence[int] = ()
        try:
            ours = self._fd_store.files(key) or ()
            if ours:
                self._fd_store.keep(key, [ours[0], *signed])
        except OSError as error:
            self._log.warning("other hosts cannot see who has a volume", volume=volume.name, error=str(error))
        close_elsewhere([*ours, *signed])

    def _put(self, volume: Volume, files: Sequence[int], asked: float) -> None:
        """Put a new lock into the fd store. Raise `StorageFailed` if that fails and it excludes others."""
        try:
            self._fd_store.keep(self._key(volume), files)
        except OSError as error:
            self._close(volume, files)
            failed = held_locks.not_locked(volume, f"no process keeps its lock: {error.strerror or error}")
            if is_exclusive(volume):
                raise failed from error
            self._log.warning(NOT_KNOWN, volume=volume.name, error=str(failed))
            return
        close(files)  # not the last close, so it does not wait for the server
        with self._guard:
            earlier = self._held.get(volume.name)
            was_lost = earlier is not None and earlier.was_lost
            self._held[volume.name] = HeldLock(volume, was_lost=was_lost, verified=asked)

    def _unlock(self, volume: Volume) -> None:
        files = self._fd_store.take(self._key(volume))
        if files:
            self._close(volume, files)

    def _close(self, volume: Volume, files: Sequence[int]) -> None:
        try:
            self._server.force(UnlockVolume(self._place, volume), type(None), files)
        except StorageFailed as error:
            # The files are closed all the same, and the kernel tells the server as soon as that answers.
            self._log.warning("lock was released without an answer of its server", volume=volume.name, error=str(error))

    def _key(self, volume: Volume) -> bytes:
        return held_locks.key(self._place.name, volume)
