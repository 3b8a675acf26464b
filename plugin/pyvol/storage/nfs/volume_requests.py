"""Requests about the volumes of a pool, as a worker carries them out: the code of the local pool, on a share.

Another host may have changed a volume since the daemon last looked. So a request that acts on a volume by its
name compares the manifest with what the daemon knows, both before it locks the volume and once it has the
lock.
"""

import errno
import functools
import os
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from pyvol.core import errors
from pyvol.core.model.volume import Phase, Volume, in_pool
from pyvol.host.files import directories
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.layout import STAGING, TRASH, VOLUMES
from pyvol.storage.local.pool import LocalPool
from pyvol.storage.nfs import lock_files, pool_id
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.paths.allowed import AdoptablePaths
from pyvol.storage.remote.messages import (
    Attached,
    AttachVolume,
    Changed,
    Destination,
    LockLost,
    LockNeed,
    Place,
    PreparePool,
    ReadStamp,
    Relocked,
    Removed,
    RemoveVolume,
    StageDeletion,
    Undelete,
)

NAMING = (VOLUMES, TRASH)
"""The directories of a pool whose entries say which volumes exist."""
UNKNOWN = frozenset({0, errno.ENOENT})
"""Error numbers of a manifest that is missing or damaged: nothing says whose the directory is."""


@functools.cache
def pool_at(place: Place) -> LocalPool:
    """Return the pool at a place, for code that has looked at the pool already."""
    return LocalPool(place.name, place.root, place.host, AdoptablePaths([], [], KernelMounts()))


def fresh_pool(place: Place) -> LocalPool:
    """Return the pool at a place once the kernel has asked the server for its directories.

    Raise `StorageFailed`.
    """
    pool = pool_at(place)
    with storage_errors("cannot be read", pool=pool.name):
        # Another host may have moved a volume to the trash: a name that the kernel remembers would lead
        # there.
        for directory in NAMING:
            with suppress(FileNotFoundError):  # the act itself reports what is missing
                directories.revalidate(f"{pool.root}/{directory}")
        with suppress(FileNotFoundError):
            directories.check_real(f"{pool.root}/{STAGING}")
    return pool


def prepare(request: PreparePool) -> str:
    """Return the id of a pool, with its directories made if it is new; empty if it has no directories."""
    pool = pool_at(request.place)
    try:
        with storage_errors("cannot be read", pool=pool.name):
            directories.revalidate(pool.root)  # where another disk may be mounted since
            # Opened, and not only looked at: then the kernel asks the server, whatever it remembers of the
            # directory.
            os.close(os.open(f"{pool.root}/{VOLUMES}", directories.FINAL))
        is_whole = True
    except errors.StorageFailed as error:
        if error.errno != errno.ENOENT:
            raise
        is_whole = False
    if not is_whole and not request.is_new:
        return ""
    pool.prepare()
    lock_files.prepare(pool.root)
    with storage_errors("cannot be identified", pool=pool.name):
        return pool_id.identify(pool.root)


def read_stamp(request: ReadStamp) -> list[int]:
    """Return numbers that differ after each change of which volumes exist."""
    stamps = []
    with storage_errors("cannot be read", pool=request.place.name):
        for directory in NAMING:
            directories.revalidate(f"{request.place.root}/{directory}")
            found = os.stat(f"{request.place.root}/{directory}")
            stamps += [found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
    return stamps


def attach(request: AttachVolume, files: Sequence[int]) -> tuple[Attached | Changed | LockLost, Sequence[int]]:
    """Make a volume usable, and return the files of a lock that was taken for it."""
    pool, volume = fresh_pool(request.place), request.volume
    changed = _find_change(pool, volume)
    if changed is not None:
        lock_files.close_all(files)
        return changed, ()
    relocked: Relocked | None = None
    taken: Sequence[int] = ()
    not_locked = ""
    if request.lock is LockNeed.VERIFY:
        relocked = lock_files.reacquire(volume, files)
        if not relocked.is_held:
            return LockLost(), ()
    elif request.lock is LockNeed.TAKE:
        try:
            taken = lock_files.acquire(request.place, volume, request.since)
        except errors.StorageFailed as error:
            if lock_files.is_exclusive(volume):
                raise
            not_locked = str(error)
    try:
        changed = _find_change(pool, volume)
        path = "" if changed else pool.attach(volume)
    except BaseException:
        lock_files.release(request.place, volume, taken)
        raise
    if changed is not None:
        lock_files.release(request.place, volume, taken)
        return changed, ()
    return Attached(path, relocked, not_locked), taken


def remove(request: RemoveVolume) -> Removed | Changed:
    """Remove a volume under its lock, which no other host can have at the same time."""
    pool, volume = fresh_pool(request.place), request.volume
    changed = _find_change(pool, volume, is_leaving=True)
    if changed is not None:
        return changed
    try:
        files = lock_files.acquire_for_removal(request.place, volume)
    except errors.StorageFailed as error:
        if error.errno != errno.ENOLCK:
            raise
        files = []  # the export has no locks: only the containers of this host are known
    is_removed = False
    try:
        # First: a directory that appears after this is another host's, which the lock does not prevent.
        is_there = pool.holds(volume)
        changed = _find_change(pool, volume, is_leaving=True)
        if changed is not None:
            return changed
        destination = _move_away(pool, request) if is_there else Destination.NOWHERE
        is_removed = True
        return Removed(destination)
    finally:
        lock_files.release(request.place, volume, files, forget=is_removed)


def stage_deletion(request: StageDeletion) -> Destination:
    """Move a volume's directory to where it waits for its deletion."""
    pool = fresh_pool(request.place)
    is_there = pool.holds(request.volume)  # first, as in `remove`
    if request.volume.phase is not Phase.TRASHED:  # in the trash it has its id as its name
        refuse_other(pool, request.volume, is_leaving=True)
    if not is_there:
        return Destination.NOWHERE
    pool.stage_deletion(request.volume)
    return Destination.DELETION


def undelete(request: Undelete) -> Volume:
    """Move a volume back from the trash; return it as it was there."""
    pool = fresh_pool(request.place)
    trashed = pool.read_trashed(request.volume.id)
    pool.from_trash(request.volume)
    return trashed


def refuse_other(pool: LocalPool, volume: Volume, *, is_leaving: bool = False) -> None:
    """Raise `StorageFailed` if the name has another volume now, or the volume is locked differently."""
    found = _read(pool, volume, is_leaving=is_leaving)
    if found is not None and (found.id != volume.id or found.spec.access is not volume.spec.access):
        raise errors.StorageFailed(
            "cannot be used",
            "another host has removed it and created another volume of this name",
            "try again",
            volume=volume.name,
        )


def _find_change(pool: LocalPool, volume: Volume, *, is_leaving: bool = False) -> Changed | None:
    """Return the volume that has the name now, unless it is the volume that the daemon knows."""
    found = _read(pool, volume, is_leaving=is_leaving)
    if found is None or msgspec.structs.replace(in_pool(found, pool.name), name=volume.name) == volume:
        return None
    return Changed(found)


def _read(pool: LocalPool, volume: Volume, *, is_leaving: bool) -> Volume | None:
    """Return what the manifest says; None if it says nothing, and the volume is to be removed."""
    try:
        return pool.read_live(volume.name)
    except errors.StorageFailed as error:
        if is_leaving and error.errno in UNKNOWN:
            return None
        raise


def _move_away(pool: LocalPool, request: RemoveVolume) -> Destination:
    if request.trashed is None:
        pool.stage_deletion(request.volume)
        return Destination.DELETION
    pool.to_trash(request.trashed)
    return Destination.TRASH
