"""Locks on a share: which hosts have a volume mounted. The server frees the locks of a host that dies.

<root>/locks/<id>           locked by every host that has the volume mounted; by one alone if exclusive
<root>/locks/<id>@<host>    locked by that host for as long as it is up; has its name, and since when

A worker runs this. The open files go to the fd store, which keeps them for as long as the volume is mounted:
a lock of flock(2) belongs to the open file, so it outlives the worker and the daemon, and ends with their
host.
"""

import errno
import fcntl
import mmap
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from pyvol.core.errors import UNDECODABLE, StorageFailed, VolumeInUse
from pyvol.core.model.volume import Access, Volume
from pyvol.core.ports.pool import Holder
from pyvol.host.files import directories
from pyvol.storage.layout import LOCKS
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.remote.messages import Place, Relocked

OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
TAKEN = frozenset({errno.EAGAIN, errno.EACCES})
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS})
GONE = frozenset({errno.ENOENT, errno.ESTALE})
LOST = TAKEN | GONE | {errno.EBADF}
"""What flock(2) answers for a file whose lock was lost: another host has the lock, or the file is unlinked.

With NFS 4.1 and later the latter is EBADF, for the client could not open the file again when its lease had
ended. EIO is not among them: the server of a soft mount took too long, and the lock may be held.
"""
NOT_LOCKED = "cannot be locked against other hosts"
ATTEMPTS = 5
LOOK_S = 0.1


def prepare(root: str) -> None:
    """Create the directory of the locks in a pool. Raises `StorageFailed`."""
    directory = f"{root}/{LOCKS}"
    with storage_errors(f"the directory for locks in {root} cannot be created"):
        directories.make(directory)


def is_exclusive(volume: Volume) -> bool:
    """Return whether one host at a time may have the volume; any other lock only informs the other hosts."""
    return volume.spec.access is Access.EXCLUSIVE


def acquire(place: Place, volume: Volume, since: datetime) -> list[int]:
    """Lock a volume and return the open files. Raise `VolumeInUse` if other hosts hold it."""
    with storage_errors(NOT_LOCKED, volume=volume.name):
        file = _acquire(place, volume, exclusive=is_exclusive(volume))
        if file < 0:
            raise _refusal(place, volume)
        try:
            return [file, _signed(place, volume, since)]
        except BaseException:
            os.close(file)
            raise


def acquire_for_removal(place: Place, volume: Volume) -> list[int]:
    """Lock a volume against all other hosts and return the open file. Raise `VolumeInUse` if one holds it."""
    with storage_errors(NOT_LOCKED, volume=volume.name):
        file = _acquire(place, volume, exclusive=True)
        if file < 0:
            where = _where(place, volume)
            raise VolumeInUse(
                "cannot be removed", f"it is in use {where}", "stop the containers there first", volume=volume.name
            )
        return [file]


def reacquire(volume: Volume, files: Sequence[int]) -> Relocked:
    """Lock the open files of a volume once more, close them, and return what became of the locks.

    A server frees the locks of a host that it has not heard of for a lease, and another host may have had
    them since. Raise `StorageFailed` if that is not known of the first file, whose lock is the volume's.
    """
    exclusive = is_exclusive(volume)
    try:
        has_expired = exclusive and _has_expired(files[0])
        with storage_errors(NOT_LOCKED, volume=volume.name):
            is_held = _is_retaken(files[0], fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        has_expired = has_expired and _has_expired(
            files[0]
        )  # a soft mount that is slow for a moment does not fail twice
        is_signed = False
        with suppress(OSError):
            is_signed = _is_retaken(files[1], fcntl.LOCK_EX)
        return Relocked(is_held, is_signed, has_expired)
    finally:
        for file in files:
            os.close(file)


def sign(place: Place, volume: Volume, since: datetime) -> list[int]:
    """Write again which host has a volume, and return the open file. Raises `VolumeInUse`."""
    with storage_errors(NOT_LOCKED, volume=volume.name):
        return [_signed(place, volume, since)]


def release(place: Place, volume: Volume, files: Sequence[int], *, forget: bool = False) -> None:
    """Unlock and close the files of a lock, and unlink what no other host needs.

    Args:
        place: the pool's.
        volume: the volume.
        files: the lock's, as `acquire` returned them.
        forget: whether the volume is gone.
    """
    path = _path(place, volume.id)
    if len(files) > 1:
        with suppress(OSError):
            os.unlink(f"{path}@{_safe(place.host)}")
    if forget:
        with suppress(OSError):
            os.unlink(path)
    close_all(files)


def close_all(files: Sequence[int]) -> None:
    """Unlock and close files, also after one that fails: otherwise this process would keep them locked."""
    for file in files:
        with suppress(OSError):  # the close unlocks the file, unless another process has it open
            fcntl.flock(file, fcntl.LOCK_UN)
        with suppress(OSError):
            os.close(file)


def holders(place: Place) -> list[Holder]:
    """Return which other hosts hold which volumes, by id. Deletes the files of hosts that died."""
    own = f"@{_safe(place.host)}"
    with storage_errors("cannot be asked for its locks", pool=place.name):
        directories.check_real(f"{place.root}/{LOCKS}")
        names = os.listdir(f"{place.root}/{LOCKS}")
        return [
            holder
            for name in sorted(names)
            if "@" in name and not name.endswith(own)
            for holder in _living(f"{place.root}/{LOCKS}/{name}")
        ]


def _acquire(place: Place, volume: Volume, *, exclusive: bool) -> int:
    path = _path(place, volume.id)
    directories.check_real(os.path.dirname(path))
    return _locked(path, exclusive=exclusive, volume=volume.name)


def _path(place: Place, volume_id: str) -> str:
    return f"{place.root}/{LOCKS}/{volume_id}"


def _safe(host: str) -> str:
    return host.replace("/", "_").replace("@", "_")


def _locked(path: str, *, exclusive: bool, volume: str) -> int:
    """Return an open file that is locked; -1 if other hosts hold it."""
    for _ in range(ATTEMPTS):
        file = os.open(path, OPEN, 0o600)
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            if os.fstat(file).st_nlink:
                return file
        except OSError as error:
            os.close(file)
            if error.errno in TAKEN:
                return -1
            if error.errno in NO_LOCKS:
                raise StorageFailed(
                    NOT_LOCKED,
                    f"the export has no locks ({error.strerror})",
                    "mount it with vers=4, or start rpc.statd",
                    volume=volume,
                ) from error
            if error.errno not in GONE:
                raise
            continue
        os.close(file)  # another host has just removed the volume and its lock
    raise StorageFailed(
        NOT_LOCKED,
        "its lock on the share is deleted again and again",
        "find out what other hosts do with it",
        volume=volume,
    )


def _has_expired(file: int) -> bool:
    """Return whether the lock of an open file was lost, also if no host has it now.

    Linux then fails every read through that open file with EIO, see "Lost locks" in fcntl_locking(2). The
    client's caches of the file and of the lock say nothing, so the read bypasses them (O_DIRECT).
    """
    try:
        fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_DIRECT)
        os.preadv(file, [mmap.mmap(-1, mmap.PAGESIZE)], 0)
    except OSError as error:
        return error.errno == errno.EIO
    return False


def _is_retaken(file: int, mode: int) -> bool:
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
        return bool(os.fstat(file).st_nlink)
    except OSError as error:
        if error.errno in LOST:
            return False
        raise


def _signed(place: Place, volume: Volume, since: datetime) -> int:
    path = f"{_path(place, volume.id)}@{_safe(place.host)}"
    for _ in range(ATTEMPTS):
        file = _locked(path, exclusive=True, volume=volume.name)
        if file >= 0:
            with suppress(OSError):  # on a server that is full the lock holds all the same, without the host's name
                os.ftruncate(file, 0)
                os.pwrite(file, msgspec.json.encode(Holder(volume.id, place.host, since)), 0)
                os.fsync(file)
            return file
        time.sleep(LOOK_S)  # another host may be looking at the file
    raise VolumeInUse(
        "is in use",
        f"another host, which is also called {place.host!r}, holds it",
        "give each host a different name",
        volume=volume.name,
    )


def _living(path: str) -> Iterator[Holder]:
    """Yield what a host's file contains, if that host holds it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in GONE:
            return
        raise
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(OSError):
            os.unlink(path)
    except OSError as error:
        if error.errno in GONE:
            return
        if error.errno not in TAKEN:
            raise
        with suppress(*UNDECODABLE):  # pyvol did not write this text; the lock holds all the same
            yield msgspec.json.decode(os.read(file, 4096), type=Holder)
    finally:
        os.close(file)


def _refusal(place: Place, volume: Volume) -> VolumeInUse:
    what, where, name = "cannot be mounted", _where(place, volume), volume.name
    if is_exclusive(volume):
        return VolumeInUse(
            what,
            f"it has access=exclusive and is mounted {where}",
            "stop its containers there; if that host died, the server releases the lock after its lease",
            volume=name,
        )
    return VolumeInUse(what, f"it is being removed {where}", "check with `pyvol ls`", volume=name)


def _where(place: Place, volume: Volume) -> str:
    theirs = [holder for holder in holders(place) if holder.volume == volume.id]
    shown = ", ".join(f"{holder.host} (since {holder.since:%Y-%m-%d %H:%M:%S} UTC)" for holder in theirs)
    return f"on {shown}" if shown else "on another host"
