"""Translate `OSError` into `StorageFailed`, with a hint for each of the kernel's error numbers."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pyvol.core.errors import StorageFailed

NEXT_STEP = {
    errno.ENOSPC: "make room (`pyvol trash empty` deletes removed volumes) and try again",
    errno.EDQUOT: "raise the quota or make room, and try again",
    errno.EROFS: "remount the file system read-write and try again",
    errno.EIO: "see the kernel's log (dmesg): the disk failed",
    errno.EACCES: "run pyvol as root",
    errno.EPERM: "run pyvol as root, on a file system that has owners",
    errno.ENOENT: "bring the directory back, or mount the disk that holds it",
    errno.ENOTDIR: "replace it with a real directory",
    errno.ELOOP: "replace the symlink with a real directory",
    errno.EBUSY: "unmount what is mounted there and try again",
    errno.EXDEV: "put the pool's directories on one file system",
    errno.ESTALE: "mount the file system again: the server's handle is stale",
    errno.EINVAL: "correct the mount's options, see mount(8)",
    errno.ENAMETOOLONG: "choose a shorter name",
}

ON_EXPORT = {
    errno.EACCES: "the server refuses it: check the export's name and hosts, root_squash and the directory's mode",
    errno.EPERM: "leave out uid, gid and mode and set them on the server, or export with no_root_squash: the server "
    "squashes root (root_squash)",
    errno.EIO: "see the kernel's log (dmesg): the server or the network failed",
    errno.EROFS: "export it rw: the export is read-only",
    errno.ENOPKG: "install nfs-common (or nfs-utils)",
    errno.EINVAL: "correct the mount's options, see nfs(5)",
    errno.EPROTONOSUPPORT: "correct vers in the options, or leave it out: the server does not speak this version",
    errno.ESTALE: "try again, and pyvol mounts it again: it is gone on the server",
    errno.ENOENT: "create it on the server, or bring it back",
    errno.ENOTDIR: "name a directory: the server has something else at that path",
    errno.ENOSPC: "the server is full: make room there (`pyvol trash empty` deletes removed volumes) and try again",
}
"""The hints for a file system of an NFS server."""


def on_export() -> None:
    """Use the hints for an NFS server from now on; for a process that touches no other file system."""
    NEXT_STEP.update(ON_EXPORT)


@contextmanager
def storage_errors(what: str, *, volume: str = "", pool: str = "") -> Iterator[None]:
    """Turn an OSError of the body into a `StorageFailed`: `what` failed, the kernel's cause, and a hint."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        hint = NEXT_STEP.get(error.errno or 0, "see `pyvol doctor`")
        raise StorageFailed(what, f"{where}{error.strerror}", hint, volume=volume, pool=pool) from error
