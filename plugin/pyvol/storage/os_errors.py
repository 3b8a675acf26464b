"""Sentences for the kernel's errors, with what to do: the one place where storage handles `OSError`."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pyvol.core.errors import StorageFailed

NEXT_STEP = {
    errno.ENOSPC: "make room (`pyvol trash empty` deletes removed volumes) and try again",
    errno.EDQUOT: "raise the quota or make room, and try again",
    errno.EROFS: "the file system is read-only: remount it read-write and try again",
    errno.EIO: "the disk failed: see the kernel's log (dmesg)",
    errno.EACCES: "pyvol has to run as root",
    errno.EPERM: "pyvol has to run as root, on a file system that knows owners",
    errno.ENOENT: "bring the directory back, or mount the disk that holds it",
    errno.ENOTDIR: "put a real directory in its place",
    errno.ELOOP: "a symlink is in its place: put a real directory there",
    errno.EBUSY: "something is mounted there: unmount it and try again",
    errno.EXDEV: "the pool's directories are on different file systems: put them on one",
    errno.ESTALE: "the server's handle is stale: mount the file system again",
    errno.EINVAL: "correct the mount's options, see mount(8)",
    errno.ENAMETOOLONG: "choose a shorter name",
}

ON_EXPORT = {
    errno.EACCES: "the server refuses it: look at the export's name and hosts, root_squash and the directory's mode",
    errno.EPERM: "the server squashes root (root_squash), so only it can give owners: leave out uid, gid and mode and "
    "set them on the server, or export with no_root_squash",
    errno.EIO: "the server or the network failed: see the kernel's log (dmesg)",
    errno.EROFS: "the export is read-only: export it rw",
    errno.ENOPKG: "install nfs-common (or nfs-utils)",
    errno.EINVAL: "correct the mount's options, see nfs(5)",
    errno.EPROTONOSUPPORT: "the server does not speak this version: correct vers in the options, or leave it out",
    errno.ESTALE: "what is mounted is gone on the server: the next try mounts it again",
    errno.ENOENT: "make it on the server, or bring it back",
    errno.ENOTDIR: "name a directory: the server has something else by that path",
    errno.ENOSPC: "the server is full: make room there (`pyvol trash empty` deletes removed volumes) and try again",
}
"""What to do if the file system is a server's."""


def on_export() -> None:
    """Use the hints for a server's file system from now on; for a process that accesses no other."""
    NEXT_STEP.update(ON_EXPORT)


@contextmanager
def storage_errors(whose: str, doing: str) -> Iterator[None]:
    """Turn an OSError into a `StorageFailed` that names the volume or pool, what failed, why, and the next step."""
    try:
        yield
    except OSError as error:
        where = f" at {error.filename}" if isinstance(error.filename, str) else ""
        step = NEXT_STEP.get(error.errno or 0, "see `pyvol doctor`")
        raise StorageFailed(f"{whose}: could not {doing}{where}: {error.strerror}; {step}") from error
