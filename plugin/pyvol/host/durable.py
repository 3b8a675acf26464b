"""Writes and renames that a power cut cannot take back: fsync(2) of the file, then of the directory that names it."""

import errno
import os
from contextlib import suppress
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


def write_new(path: str, content: bytes, mode: int = 0o600) -> None:
    """Write a file that does not exist yet, and its content to disk; its name is durable after `sync_directory`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        sync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: str, content: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all: a reader finds the old content or the new, also after a power cut."""
    beside = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(beside)
    write_new(beside, content, mode)
    os.replace(beside, path)
    sync_directory(os.path.dirname(path))


def move(source: str, target: str) -> None:
    """Rename a directory within its file system, durably on both sides.

    A target that exists and is not empty is an error (rename(2): ENOTEMPTY), so nothing is ever overwritten.
    """
    os.rename(source, target)
    sync_directory(os.path.dirname(target))
    sync_directory(os.path.dirname(source))
