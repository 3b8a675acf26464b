"""Writes and renames that a power cut cannot take back: fsync(2) of the file, then of the directory that names it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP})
"""What fsync(2) answers on a file system that has no notion of it; there is nothing more to be done there."""


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
    descriptor = _written(path, content)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def _written(path: str, content: bytes) -> int:
    """Write a file that does not exist yet; return it open, for the sync."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


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

    The note is synced after the rename, so that both cost one commit of the file system's journal; a power cut between
    the two leaves the directory in its new place and the note torn or empty.
    """
    with suppress(FileNotFoundError):
        os.unlink(f"{source}/{note}")  # of an attempt that failed
    descriptor = _written(f"{source}/{note}", content)
    try:
        with _renamed(source, target):
            sync(descriptor)
            sync_directory(target)
            sync_directory(os.path.dirname(target))
    finally:
        os.close(descriptor)


def move(source: str, target: str) -> None:
    """Rename a directory within its file system, durably; when the disk fails, nothing was moved.

    A target that exists and is not empty is an error (rename(2): ENOTEMPTY), so nothing is ever overwritten. One sync
    is enough: leaving the old parent and entering the new one is one transaction of the file system's journal.
    """
    with _renamed(source, target):
        sync_directory(os.path.dirname(target))


def move_back(source: str, target: str) -> None:
    """Rename a directory to where it was before a `move`, also when the disk can't make that durable.

    Where it is after a power cut is settled by the next start.
    """
    os.rename(target, source)
    with suppress(OSError):
        sync_directory(os.path.dirname(source))


@contextmanager
def _renamed(source: str, target: str) -> Iterator[None]:
    """Rename, and rename back when what makes it durable fails."""
    os.rename(source, target)
    try:
        yield
    except OSError:
        os.rename(target, source)
        raise
