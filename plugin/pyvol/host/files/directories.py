"""Create and check directories, and set their owner and mode. Never follows a symlink to another place."""

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
PASS_THROUGH_MODE = 0o711
"""Containers with remapped users can pass through; only root can list."""
PASSAGE_MODE = 0o755
FINAL = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def own(path: str, uid: int | None, gid: int | None, mode: int | None, real: str | None = None) -> None:
    """Set owner, group and mode of a directory; None keeps a value. Raises OSError if it is not a directory.

    chown(2) comes first, because it clears the set-id bits. With `real`, the directory that was opened has to
    be at that path: a symlink anywhere on the way to it is an error.
    """
    # O_NOFOLLOW applies only to the last name of a path.
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
    """Return whether a path is a directory; False if it is missing.

    Raises OSError if the file system fails.
    """
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def make(path: str, mode: int = PASS_THROUGH_MODE) -> None:
    """Create a directory if it is missing, with its mode whatever the umask; its parents get mode 0755."""
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
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), place) from None
        else:
            os.chmod(place, mode if place == path else PASSAGE_MODE)


def make_below(top: str, path: str, mode: int) -> None:
    """Create the missing directories of a path below `top`, durably; raise OSError if one is a symlink."""
    current = os.open(top, FINAL)
    try:
        for name in path.split("/"):
            made = True
            try:
                os.mkdir(name, dir_fd=current)
            except FileExistsError:  # another host may just have created it
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
    """Yield the names of the directories in a directory, without symlinks; raises OSError.

    Bytes that are not UTF-8 are escaped: a message cannot contain them, and pyvol makes no such names.
    """
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield entry.name.encode(errors="backslashreplace").decode()


def check_real(path: str) -> None:
    """Raise OSError if a path is a symlink."""
    if stat.S_ISLNK(os.lstat(path).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def check_directory(path: str) -> None:
    """Raise OSError if a path is missing, is a symlink, or is not a directory."""
    mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        code = errno.ELOOP if stat.S_ISLNK(mode) else errno.ENOTDIR
        raise OSError(code, os.strerror(code), path)


def revalidate(path: str) -> None:
    """Make the kernel ask the server whether a directory has changed, see statx(2).

    Raise OSError if it is a symlink.

    An NFS client caches for up to a minute which directory has which name. If the parent directory has
    changed, the client looks up each name again.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    found = ctypes.create_string_buffer(STATX_SIZE)
    flags = AT_STATX_FORCE_SYNC | AT_SYMLINK_NOFOLLOW
    if libc.statx(AT_FDCWD, os.fsencode(path), flags, STATX_BASIC_STATS, found):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    check_real(path)


def space(path: str) -> Space:
    """Return the disk space of a path's file system, as an unprivileged user sees it, see statvfs(3)."""
    found = os.statvfs(path)
    used = found.f_blocks - found.f_bfree
    return Space((used + found.f_bavail) * found.f_frsize, found.f_bavail * found.f_frsize)
