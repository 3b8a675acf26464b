"""Looking at a directory and setting its owner and mode, through a descriptor that no symlink can lead astray."""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator

from pyvol.core.model.volume import Space
from pyvol.host.files import durable

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_STATX_FORCE_SYNC = 0x2000
STATX_BASIC_STATS = 0x7FF
STATX_SIZE = 256
"""From linux/stat.h and linux/fcntl.h."""
DOOR_MODE = 0o711
"""Containers with remapped users pass through; nobody but root lists."""
PASSAGE_MODE = 0o755
FINAL = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def own(path: str, uid: int | None, gid: int | None, mode: int | None, real: str | None = None) -> None:
    """Give a directory its owner, group and mode, None leaving each as it is; OSError when it is no directory.

    chown(2) comes first, for it takes the set-id bits away. With `real`, what was opened has to be there: a symlink on
    the way to it, put there a moment ago or long since, is an error.
    """
    # O_NOFOLLOW looks at the last name of a path alone.
    descriptor = os.open(path, FINAL if real is None else FINAL & ~os.O_NOFOLLOW)
    try:
        if real is not None and os.readlink(f"/proc/self/fd/{descriptor}") != real:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        found = os.fstat(descriptor)
        if (uid is not None and uid != found.st_uid) or (gid is not None and gid != found.st_gid):
            os.fchown(descriptor, -1 if uid is None else uid, -1 if gid is None else gid)
            found = os.fstat(descriptor)
        if mode is not None and mode != stat.S_IMODE(found.st_mode):
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def is_directory(path: str) -> bool:
    """Return whether a path is a directory; a missing one is not. Raises OSError if the file system does not say."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def make(path: str, mode: int = DOOR_MODE) -> None:
    """Make a directory where it is missing, with its mode whatever the umask, and those above it for all to pass."""
    missing = []
    place = path
    while not is_directory(place):
        missing.append(place)
        place = os.path.dirname(place)
    for place in reversed(missing):
        try:
            os.mkdir(place)
        except FileExistsError:
            if not is_directory(place):
                raise
        else:
            os.chmod(place, mode if place == path else PASSAGE_MODE)


def make_below(top: str, path: str, mode: int) -> None:
    """Make a path below a directory, durably, as far as it is missing; never through a symlink. Raises OSError."""
    current = os.open(top, FINAL)
    try:
        for name in path.split("/"):
            made = True
            try:
                os.mkdir(name, dir_fd=current)
            except FileExistsError:  # also when another host has just made it
                made = False
            above, current = current, os.open(name, FINAL, dir_fd=current)
            try:
                if made:
                    os.fchmod(current, mode)
                    durable.sync(current)
                    durable.sync(above)
            finally:
                os.close(above)
    finally:
        os.close(current)


def names(path: str) -> Iterator[str]:
    """Yield the names of the directories in a directory, symlinks left out; raises OSError.

    Bytes that are no UTF-8 are escaped: no message could carry them, and nothing of ours is called so.
    """
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield entry.name.encode(errors="backslashreplace").decode()


def check_real(path: str) -> None:
    """See that no symlink stands in a directory's place, which would lead elsewhere; raises OSError."""
    if stat.S_ISLNK(os.lstat(path).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def revalidate(path: str) -> None:
    """Have the kernel ask a directory's server whether it has changed, see statx(2); OSError where it is a symlink.

    An NFS client remembers for up to a minute which name leads to which directory. Where the one that has the names has
    changed, it looks each of them up again.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    found = ctypes.create_string_buffer(STATX_SIZE)
    flags = AT_STATX_FORCE_SYNC | AT_SYMLINK_NOFOLLOW
    if libc.statx(AT_FDCWD, os.fsencode(path), flags, STATX_BASIC_STATS, found):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    check_real(path)


def space(path: str) -> Space:
    """Return the room of a path's file system, as an unprivileged user sees it, see statvfs(3)."""
    found = os.statvfs(path)
    used = found.f_blocks - found.f_bfree
    return Space((used + found.f_bavail) * found.f_frsize, found.f_bavail * found.f_frsize)
