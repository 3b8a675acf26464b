"""The worker process: carries out messages on a remote file system, one after the other; see `worker_pool.py`."""

import errno
import functools
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from pyvol.core import errors
from pyvol.core.model.volume import Phase, Space, Volume
from pyvol.host.files import directories
from pyvol.host.mounts import mount
from pyvol.host.mounts.mount import MNT_DETACH, MountFailed
from pyvol.host.mounts.table import KernelMounts
from pyvol.host.processes import worker_pool
from pyvol.host.processes.worker_pool import Message
from pyvol.host.system import nfs_ping
from pyvol.storage import os_errors
from pyvol.storage.layout import STAGING, TRASH, VOLUMES
from pyvol.storage.local.pool import LocalPool
from pyvol.storage.mounts import stale_mounts
from pyvol.storage.nfs import lock_files, pool_id
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.paths.allowed import AdoptablePaths
from pyvol.storage.remote.messages import (
    AskHolders,
    Failure,
    Lock,
    Look,
    Mount,
    Order,
    Own,
    Place,
    Prepare,
    Probe,
    Relock,
    Reply,
    Sign,
    Unlock,
    Unmount,
    Use,
)

MISSING = frozenset({errno.ENOENT, errno.EACCES})
"""What mount.nfs says of a path that the server does not have; the second is NFSv3's, for one outside of any export."""
MADE_MODE = 0o755
NAMING = (VOLUMES, TRASH)
"""The directories of a pool that tell which volumes there are."""
KNOWING = frozenset({"attach", "write_manifest", "stage_deletion", "to_trash"})
"""What is done to a volume by its name, and has to be done to no other one that came to the name."""
LEAVING = frozenset({"stage_deletion", "to_trash"})
MOUNTS = KernelMounts()
"""The mounts of this host; the worker is a program, so it makes its own."""

_orders = msgspec.msgpack.Decoder(Order)
_encode = msgspec.msgpack.Encoder().encode


def handle(request: Message) -> Message:
    """Carry out an order; every failure is an answer too."""
    files: list[int] = []
    try:
        order = _orders.decode(request.content)
        if isinstance(order, Lock):
            files += lock_files.acquire(order)
            value = None
        elif isinstance(order, Sign):
            files += lock_files.sign(order)
            value = None
        else:
            value = _carry_out(order, request.descriptors)
    except errors.PyvolError as error:
        return Message(_encode(Reply(failure=Failure(type(error).__name__, str(error), error.errno))))
    except OSError as error:
        summary = error.strerror or str(error)
        return Message(_encode(Reply(failure=Failure(errors.StorageFailed.__name__, summary, error.errno or 0))))
    return Message(_encode(Reply(msgspec.Raw(_encode(value)))), files)


def _carry_out(order: Order, files: Sequence[int]) -> Any:  # noqa: C901, PLR0911  # one line an order
    match order:
        case Use():
            return _use(order)
        case Look(place):
            return _look(place)
        case Prepare(place, is_new):
            return _prepare(_pool(place), is_new=is_new)
        case Relock(volume):
            return lock_files.reacquire(volume, files)
        case Unlock():
            return lock_files.release(order, files)
        case AskHolders(place):
            return lock_files.holders(place)
        case Probe(host, port, timeout_s):
            return nfs_ping.probe(host, port, timeout_s)
        case Unmount(target, flags):
            return mount.unmount(target, flags)
        case Mount():
            return _mount(order)
        case Own():
            return _own(order)


@functools.cache
def _pool(place: Place) -> LocalPool:
    return LocalPool(place.name, place.root, place.host, AdoptablePaths([], [], MOUNTS))


def _prepare(pool: LocalPool, *, is_new: bool) -> str:
    try:
        with storage_errors(f"pool {pool.name!r}", "be looked at"):
            directories.revalidate(pool.root)  # where another disk may be since
            # Opened, not only looked at: the kernel asks the server then, whatever it remembers of the directory.
            os.close(os.open(f"{pool.root}/{VOLUMES}", directories.FINAL))
        is_whole = True
    except errors.StorageFailed as error:
        if error.errno != errno.ENOENT:
            raise
        is_whole = False
    if is_whole or is_new:
        pool.prepare()
        lock_files.prepare(pool.root)
        with storage_errors(f"pool {pool.name!r}", "tell which one it is"):
            return pool_id.identify(pool.root)
    return ""


def _look(place: Place) -> list[int]:
    stamps = []
    with storage_errors(f"pool {place.name!r}", "be looked at"):
        for directory in NAMING:
            directories.revalidate(f"{place.root}/{directory}")
            found = os.stat(f"{place.root}/{directory}")
            stamps += [found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
    return stamps


def _use(order: Use) -> Any:
    pool = _pool(order.place)
    with storage_errors(f"pool {pool.name!r}", "be looked at"):
        # Another host may have moved a volume into the trash: what the kernel remembers of its name would lead there.
        for directory in NAMING:
            with suppress(FileNotFoundError):  # which is for the verb to tell
                directories.revalidate(f"{pool.root}/{directory}")
        with suppress(FileNotFoundError):  # the same
            directories.check_real(f"{pool.root}/{STAGING}")
    if order.volume is not None and order.verb in KNOWING:
        _see_same(pool, order.volume, order.verb)
    verb = getattr(pool, order.verb)
    given = [value for value in (order.volume, order.text) if value is not None]
    value = verb(*given)
    return None if callable(value) else value  # what undoes an act is a second order


def _see_same(pool: LocalPool, volume: Volume, verb: str) -> None:
    """See that a name is still the volume's that its lock is held of, and as exclusive; raises `StorageFailed`.

    Another host may have removed it and made one of that name, in a moment when this host could not be told.
    """
    if volume.phase is Phase.TRASHED and verb != "to_trash":
        return  # it goes by its id
    try:
        found = pool.read_live(volume.name)
    except errors.StorageFailed as error:
        # What has no descriptor that can be read is not used, and can be removed.
        if verb in LEAVING and error.errno in {0, errno.ENOENT}:
            return
        raise
    if found.id != volume.id or found.spec.access is not volume.spec.access:
        raise errors.StorageFailed(
            f"volume {volume.name!r} is another one than this host knew, for another host has made it anew: try again"
        )


def _own(order: Mount | Own) -> Space:
    with storage_errors(order.whose, "use what is mounted"):
        directories.own(order.target, order.uid, order.gid, order.mode)
        return directories.space(order.target)


def _mount(order: Mount) -> Space:
    directories.make(order.target)
    with storage_errors(order.whose, f"mount {order.host}:{order.path}"):
        try:
            _mount_at(order, order.path, order.target)
        except MountFailed as error:
            if not order.create or error.errno not in MISSING or order.path == "/":
                raise
            _make_path(order, error)
            _mount_at(order, order.path, order.target)
    try:
        return _own(order)
    except errors.StorageFailed:
        mount.unmount(order.target, MNT_DETACH)
        raise


def _mount_at(order: Mount, path: str, target: str) -> None:
    host = f"[{order.host}]" if ":" in order.host else order.host
    # mount.nfs would try again for two minutes, with bg after it has said that all is well.
    options = ",".join(filter(None, [order.options, "fg", "retry=0"]))
    mount.mount(order.kind, f"{host}:{path}", target, options, MOUNTS)


def _make_path(order: Mount, missing: MountFailed) -> None:
    """Make a path on the server, by way of the nearest directory above it that can be mounted."""
    scratch = stale_mounts.passing(order.target)
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    while mount.unmount(scratch, MNT_DETACH):
        pass  # of an attempt that was killed
    above = order.path.rstrip("/")
    try:
        while above not in {"", "/"}:
            above = os.path.dirname(above)
            try:
                _mount_at(order, above, scratch)
            except MountFailed as error:
                if error.errno not in MISSING:
                    raise
            else:
                break
        else:
            raise missing
        try:
            directories.make_below(scratch, os.path.relpath(order.path, above), MADE_MODE)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            # With NFSv4 what lies above the exports can be mounted as well.
            raise errors.StorageFailed(
                f"{order.whose}: {order.host} has no {order.path}, and {above} is read-only there; correct the path, "
                "or export it"
            ) from error
        finally:
            mount.unmount(scratch, MNT_DETACH)
    finally:
        os.rmdir(scratch)


if __name__ == "__main__":
    os_errors.on_export()
    worker_pool.answer(int(sys.argv[1]), handle)
