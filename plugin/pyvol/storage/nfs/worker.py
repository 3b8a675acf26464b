"""The worker process of NFS servers: carries out one request after the other; see `worker_pool.py`."""

import sys
from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from pyvol.core import errors
from pyvol.core.model.volume import Phase
from pyvol.host.mounts import mount
from pyvol.host.processes import worker_pool
from pyvol.host.processes.worker_pool import Message
from pyvol.host.system import nfs_ping
from pyvol.storage import os_errors
from pyvol.storage.nfs import lock_files, mount_requests, volume_requests
from pyvol.storage.nfs.volume_requests import fresh_pool
from pyvol.storage.remote.failures import Failure, failure_of
from pyvol.storage.remote.messages import (
    AttachReply,
    AttachVolume,
    ClearUnfinished,
    CreateVolume,
    HasVolume,
    ListHolders,
    ListPendingDeletion,
    ListPool,
    LockVolume,
    MeasureSpace,
    OnLock,
    OnPool,
    OnVolume,
    PreparePool,
    PurgeDeleted,
    ReadStamp,
    ReadTrashed,
    ReadVolume,
    RemoveReply,
    RemoveVolume,
    Reply,
    Request,
    SignLock,
    StageDeletion,
    Undelete,
    UndoDeletion,
    UndoRemoval,
    UndoUndelete,
    UnlockVolume,
    VerifyLock,
    WriteManifest,
)
from pyvol.storage.remote.mount_messages import MountExport, OnMount, OwnMount, Probe, Unmount

Answer = tuple[Any, Sequence[int]]
"""What a request gives, and the open files that go with it."""

_requests = msgspec.msgpack.Decoder(Request)
_encode = msgspec.msgpack.Encoder().encode


def handle(message: Message) -> Message:
    """Carry out a request. Every failure is an answer too."""
    try:
        value, files = _carry_out(_requests.decode(message.content), message.descriptors)
    except errors.PyvolError as error:
        return Message(_encode(Reply(failure=failure_of(error))))
    except OSError as error:
        what = error.strerror or str(error)
        return Message(_encode(Reply(failure=Failure(errors.StorageFailed.code, what, errno=error.errno or 0))))
    return Message(_encode(Reply(msgspec.Raw(_encode(value)))), files)


def _carry_out(request: Request, files: Sequence[int]) -> Answer:
    if isinstance(request, OnMount):
        return _on_mount(request), ()
    if isinstance(request, OnPool):
        return _on_pool(request), ()
    if isinstance(request, OnLock):
        return _on_lock(request, files)
    return _on_volume(request, files)


def _on_mount(request: OnMount) -> Any:
    match request:
        case Probe(host, port, timeout_s):
            return nfs_ping.probe(host, port, timeout_s)
        case MountExport():
            return mount_requests.mount_export(request)
        case OwnMount():
            return mount_requests.own(request)
        case Unmount(target, flags):
            return mount.unmount(target, flags)
        case _ as unreachable:
            assert_never(unreachable)


def _on_pool(request: OnPool) -> Any:
    match request:
        case PreparePool():
            return volume_requests.prepare(request)
        case ReadStamp():
            return volume_requests.read_stamp(request)
        case ListPool(place):
            return fresh_pool(place).listing()
        case ListPendingDeletion(place):
            return fresh_pool(place).pending_deletion()
        case ClearUnfinished(place):
            return fresh_pool(place).clear_old_unfinished()
        case MeasureSpace(place):
            return fresh_pool(place).space()
        case _ as unreachable:
            assert_never(unreachable)


def _on_lock(request: OnLock, files: Sequence[int]) -> Answer:
    match request:
        case LockVolume(place, volume, since):
            return None, lock_files.acquire(place, volume, since)
        case VerifyLock(volume):
            return lock_files.reacquire(volume, files), ()
        case SignLock(place, volume, since):
            return None, lock_files.sign(place, volume, since)
        case UnlockVolume(place, volume):
            lock_files.release(place, volume, files)
            return None, ()
        case ListHolders(place):
            return lock_files.holders(place), ()
        case _ as unreachable:
            assert_never(unreachable)


def _on_volume(request: OnVolume, files: Sequence[int]) -> Answer:
    if isinstance(request, AttachVolume):
        result, taken = volume_requests.attach(request, files)
        return AttachReply(result), taken
    return _on_directory(request), ()


def _on_directory(request: OnVolume) -> Any:  # noqa: C901, PLR0911, PLR0912  # one line a request
    match request:
        case CreateVolume(place, volume):
            fresh_pool(place).provision(volume)
        case WriteManifest(place, volume):
            pool = fresh_pool(place)
            if volume.phase is not Phase.TRASHED:
                volume_requests.refuse_other(pool, volume)
            pool.write_manifest(volume)
        case RemoveVolume():
            return RemoveReply(volume_requests.remove(request))
        case UndoRemoval(place, volume):
            fresh_pool(place).from_trash(volume)
        case StageDeletion():
            return volume_requests.stage_deletion(request)
        case UndoDeletion(place, volume):
            fresh_pool(place).restore(volume)
        case Undelete():
            return volume_requests.undelete(request)
        case UndoUndelete(place, trashed):
            pool = fresh_pool(place)
            volume_requests.refuse_other(pool, trashed, is_leaving=True)
            pool.to_trash(trashed)
        case HasVolume(place, volume):
            return fresh_pool(place).holds(volume)
        case ReadVolume(place, name):
            return fresh_pool(place).read_live(name)
        case ReadTrashed(place, volume_id):
            return fresh_pool(place).read_trashed(volume_id)
        case PurgeDeleted(place, volume_id):
            fresh_pool(place).purge(volume_id)
    return None


if __name__ == "__main__":
    os_errors.on_export()
    worker_pool.answer(int(sys.argv[1]), handle)
