"""Writes and renames that survive a power cut: fsync(2) of the file, then of the directory with its name."""

import ctypes
import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP})
"""The errors of fsync(2) on a file system that does not support it; they are ignored."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

FALLOC_FL_KEEP_SIZE = 1
"""See fallocate(2)."""


def sync(descriptor: int) -> None:
    """Call fsync(2); raise OSError if the disk failed."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def sync_directory(path: Path | str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: str, content: bytes) -> None:
    """Create a file and write its content to disk; its name is durable after `sync_directory`."""
    descriptor = _new(path)
    try:
        _write(descriptor, content)
        sync(descriptor)
    finally:
        os.close(descriptor)


def _new(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def replace(path: str, content: bytes) -> None:
    """Replace a file atomically: a reader finds the old or the new content, also after a power cut."""
    beside = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(beside)
    write_new(beside, content)
    os.replace(beside, path)
    sync_directory(os.path.dirname(path))


def move_with_note(source: str, target: str, note: str, content: bytes) -> None:
    """Write a file into a directory, then rename the directory as `move` does.

    The kernel writes the file within half a minute: a power cut before that leaves it partial or empty. The
    catalog has the same content, so the file is left out if the disk is full.
    """
    with suppress(FileNotFoundError):
        os.unlink(f"{source}/{note}")  # left by an attempt that failed
    try:
        descriptor = _new(f"{source}/{note}")
        try:
            _write(descriptor, content)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        with suppress(FileNotFoundError):
            os.unlink(f"{source}/{note}")
    move(source, target)


def move(source: str, target: str) -> None:
    """Rename a directory within its file system, durably; if the disk fails, nothing was moved.

    A target that exists and is not empty is an error (rename(2): ENOTEMPTY), so nothing is overwritten. One
    sync is enough: the file system changes both parent directories in one transaction.
    """
    os.rename(source, target)
    try:
        sync_directory(os.path.dirname(target))
    except OSError:
        os.rename(target, source)
        raise


def move_all(moves: Sequence[tuple[str, str]]) -> None:
    """Rename directories into one directory, all or none of them, with one sync; see `move`."""
    done: list[tuple[str, str]] = []
    try:
        for source, target in moves:
            os.rename(source, target)
            done.append((source, target))
        if done:
            sync_directory(os.path.dirname(done[0][1]))
    except OSError:
        for source, target in done:
            os.rename(target, source)
        raise


def move_back(source: str, target: str) -> None:
    """Undo a `move`, even if the disk cannot make that durable.

    After a power cut, the next start decides where the directory belongs.
    """
    os.rename(target, source)
    with suppress(OSError):
        sync_directory(os.path.dirname(source))


def reserve(path: str, size: int) -> None:
    """Reserve disk space for a file beyond its end, so that it can grow on a full disk.

    Raise OSError if that fails.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if libc.fallocate(descriptor, FALLOC_FL_KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(size)):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(descriptor)
