"""Who has a volume of a shared pool mounted: locks on the share, so that the server frees those of a host that died.

<root>/locks/<id>           locked by every host that has the volume mounted; with access=exclusive by one alone
<root>/locks/<id>@<host>    locked by that host for as long as it lives; says who it is, and since when

Run in a child. The open files go to the daemon, which keeps them for as long as the volume is mounted: a lock of
flock(2) is the open file's, so it outlives the child, and ends with the daemon's host.
"""

import errno
import fcntl
import mmap
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from pyvol.core.errors import UNDECODABLE, StorageFailed, VolumeInUse
from pyvol.core.model.volume import Access, Volume
from pyvol.core.ports.pool import Holder
from pyvol.host.files import directories
from pyvol.storage.layout import LOCKS
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.remote.messages import Lock, Place, Relocked, Sign, Unlock

OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
TAKEN = frozenset({errno.EAGAIN, errno.EACCES})
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS})
GONE = frozenset({errno.ENOENT, errno.ESTALE})
LOST = TAKEN | GONE | {errno.EBADF}
"""What Linux answers to who locks a file again whose lock was lost: another host has it, or the file is unlinked.

With NFS 4.1 and later the latter is EBADF, for the client could not open it once more when its lease had ended. EIO is
none of them: it is said where the server of a soft mount takes too long, and then the lock may be held.
"""
ATTEMPTS = 5
LOOK_S = 0.1


def prepare(root: str) -> None:
    """Make the directory of the locks in a pool; raises `StorageFailed`."""
    directory = f"{root}/{LOCKS}"
    with storage_errors(f"the pool at {root}", "make its directory for locks"):
        directories.make(directory)


def acquire(order: Lock) -> list[int]:
    """Lock a volume and return the open files; raises `VolumeInUse` where other hosts hold it."""
    whose = f"volume {order.volume.name!r}"
    exclusive = order.removing or order.volume.spec.access is Access.EXCLUSIVE
    path = _path(order.place, order.volume.id)
    with storage_errors(whose, "lock it against other hosts"):
        directories.check_real(os.path.dirname(path))
        files = [_locked(path, exclusive=exclusive, whose=whose)]
        if files[0] < 0:
            raise VolumeInUse(f"{whose} {_refusal(order)}")
        if not order.removing:
            try:
                files.append(_signed(order))
            except BaseException:
                os.close(files[0])
                raise
    return files


def reacquire(volume: Volume, files: Sequence[int]) -> Relocked:
    """Lock the open files of a volume once more; tell what became of the locks.

    A server frees the locks of a host that it has not heard of for a lease, and another host may have had them since.
    Raises `StorageFailed` where that can't be told of the first, which is the volume's.
    """
    exclusive = volume.spec.access is Access.EXCLUSIVE
    try:
        has_lapsed = exclusive and _has_lapsed(files[0])
        with storage_errors(f"volume {volume.name!r}", "lock it once more against other hosts"):
            is_held = _is_retaken(files[0], fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        has_lapsed = has_lapsed and _has_lapsed(files[0])  # which a soft mount, slow for a moment, does not say twice
        is_signed = False
        with suppress(OSError):
            is_signed = _is_retaken(files[1], fcntl.LOCK_EX)
        return Relocked(is_held, is_signed, has_lapsed)
    finally:
        for file in files:
            os.close(file)


def sign(order: Sign) -> list[int]:
    """Say anew which host has a volume, and return the open file that says it; raises `VolumeInUse`."""
    with storage_errors(f"volume {order.volume.name!r}", "tell other hosts who has it"):
        return [_signed(order)]


def release(order: Unlock, files: Sequence[int]) -> None:
    """Let go of the files of a lock, and unlink those that nobody else needs."""
    path = _path(order.place, order.volume.id)
    if len(files) > 1:
        with suppress(OSError):
            os.unlink(f"{path}@{_safe(order.place.host)}")
    if order.forget:
        with suppress(OSError):
            os.unlink(path)
    close(files)


def close(files: Sequence[int]) -> None:
    """Unlock files and close them: also those behind one that fails, or this process would keep them locked."""
    for file in files:
        with suppress(OSError):  # the close unlocks it, unless somebody else has it open
            fcntl.flock(file, fcntl.LOCK_UN)
        with suppress(OSError):
            os.close(file)


def holders(place: Place) -> list[Holder]:
    """Return which other hosts hold which volumes, by id; takes away what hosts that died have left."""
    own = f"@{_safe(place.host)}"
    with storage_errors(f"pool {place.name!r}", "read its locks"):
        directories.check_real(f"{place.root}/{LOCKS}")
        names = os.listdir(f"{place.root}/{LOCKS}")
        return [
            holder
            for name in sorted(names)
            if "@" in name and not name.endswith(own)
            for holder in _living(f"{place.root}/{LOCKS}/{name}")
        ]


def _path(place: Place, volume_id: str) -> str:
    return f"{place.root}/{LOCKS}/{volume_id}"


def _safe(host: str) -> str:
    return host.replace("/", "_").replace("@", "_")


def _locked(path: str, *, exclusive: bool, whose: str) -> int:
    """Return an open file that is locked; -1 when others hold it."""
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
                    f"{whose}: the export knows no locks ({error.strerror}): mount it with vers=4, or see that "
                    "rpc.statd runs"
                ) from error
            if error.errno not in GONE:
                raise
            continue
        os.close(file)  # another host has just removed the volume and its lock
    raise StorageFailed(f"{whose}: its lock on the share is removed again and again: see what other hosts do with it")


def _has_lapsed(file: int) -> bool:
    """Tell whether the lock of an open file was lost, though nobody may have it now.

    From then on Linux lets nobody read the file by it: EIO, see "Lost locks" in fcntl_locking(2). What the client
    remembers of the file and of the lock tells nothing, so it is read past that (O_DIRECT).
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


def _signed(order: Lock | Sign) -> int:
    path = f"{_path(order.place, order.volume.id)}@{_safe(order.place.host)}"
    whose = f"volume {order.volume.name!r}"
    for _ in range(ATTEMPTS):
        file = _locked(path, exclusive=True, whose=whose)
        if file >= 0:
            with suppress(OSError):  # on a server that is full the lock holds all the same, and says not whose it is
                os.ftruncate(file, 0)
                os.pwrite(file, msgspec.json.encode(Holder(order.volume.id, order.place.host, order.since)), 0)
                os.fsync(file)
            return file
        time.sleep(LOOK_S)  # another host may be looking at it
    raise VolumeInUse(
        f"{whose} is held by another host that is called {order.place.host!r} too: give hosts names of their own"
    )


def _living(path: str) -> Iterator[Holder]:
    """Yield what a host's file says, when that host holds it."""
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
        with suppress(*UNDECODABLE):  # it says nothing to us; the lock holds all the same
            yield msgspec.json.decode(os.read(file, 4096), type=Holder)
    finally:
        os.close(file)


def _refusal(order: Lock) -> str:
    theirs = [holder for holder in holders(order.place) if holder.volume == order.volume.id]
    shown = ", ".join(f"{holder.host} (since {holder.since:%Y-%m-%d %H:%M:%S} UTC)" for holder in theirs)
    where = f"on {shown}" if shown else "on another host"
    if order.removing:
        return f"is in use {where} and stays: stop the containers there first"
    if order.volume.spec.access is Access.EXCLUSIVE:
        return (
            f"has access=exclusive and is mounted {where}: stop its containers there; the lock of a host that died is "
            "freed by the server after its lease"
        )
    return f"is being removed {where}: look again with `pyvol ls`"
