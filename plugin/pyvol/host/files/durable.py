"""Writes and renames that a power cut cannot take back: fsync(2) of the file, then of the directory that names it."""

import ctypes
import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP})
"""What fsync(2) answers on a file system that has no notion of it; there is nothing more to be done there."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

FALLOC_FL_KEEP_SIZE = 1
"""See fallocate(2)."""


def sync(descriptor: int) -> None:
    """Call fsync(2); OSError when the disk failed."""
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
    """Write a file that does not exist yet, and its content to disk; its name is durable after `sync_directory`."""
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
    """Write a file whole or not at all: a reader finds the old content or the new, also after a power cut."""
    beside = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(beside)
    write_new(beside, content)
    os.replace(beside, path)
    sync_directory(os.path.dirname(path))


def move_with_note(source: str, target: str, note: str, content: bytes) -> None:
    """Rename a directory as `move` does, with a file written into it beforehand.

    The note itself is left to the kernel to write, within half a minute: a power cut before leaves it torn or empty. It
    is for what stands in the catalog too; so where there is no room for it, it is left out.
    """
    with suppress(FileNotFoundError):
        os.unlink(f"{source}/{note}")  # of an attempt that failed
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
    """Rename a directory within its file system, durably; when the disk fails, nothing was moved.

    A target that exists and is not empty is an error (rename(2): ENOTEMPTY), so nothing is ever overwritten. One sync
    is enough: leaving the old parent and entering the new one is one transaction of the file system's journal.
    """
    os.rename(source, target)
    try:
        sync_directory(os.path.dirname(target))
    except OSError:
        os.rename(target, source)
        raise


def move_all(moves: Sequence[tuple[str, str]]) -> None:
    """Rename directories into one, as `move` does each; all or none, and one sync for all."""
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
    """Rename a directory to where it was before a `move`, also when the disk can't make that durable.

    Where it is after a power cut is settled by the next start.
    """
    os.rename(target, source)
    with suppress(OSError):
        sync_directory(os.path.dirname(source))


def reserve(path: str, size: int) -> None:
    """Have the file system keep room for a file beyond its end, so that it can grow on a full disk; OSError if not."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if libc.fallocate(descriptor, FALLOC_FL_KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(size)):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(descriptor)
