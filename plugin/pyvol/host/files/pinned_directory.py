"""A directory that is held while it is looked at and moved, so that what was looked at is what is moved.

Who may write a directory above it can put a symlink, or another directory, in its place at any moment.
"""

import errno
import os
from contextlib import suppress
from types import TracebackType
from typing import Self

from pyvol.host.files import durable

WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Replaced(OSError):
    """Something else stands where the directory was."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ESTALE, os.strerror(errno.ESTALE), path)


class PinnedDirectory:
    """A directory, and the one that has its name, both open.

    Args:
        path: absolute and without symlinks; it is walked name by name, and follows none.

    Attributes:
        descriptor: the directory, open with O_PATH.

    Raises:
        Replaced: a symlink, or no directory, is on the way.
        OSError: all else.
    """

    def __init__(self, path: str) -> None:
        *above, self._name = path.strip("/").split("/")
        self._parent = os.open("/", WAY)
        try:
            for name in above:
                below = _enter(self._parent, name, path)
                os.close(self._parent)
                self._parent = below
            self.descriptor = _enter(self._parent, self._name, path)
        except BaseException:
            os.close(self._parent)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)
        os.close(self._parent)

    def move(self, target: str) -> None:
        """Rename it to a free name of its file system, durably; raises OSError, and nothing was moved."""
        os.rename(self._name, target, src_dir_fd=self._parent)
        try:
            if not os.path.samestat(os.lstat(target), os.fstat(self.descriptor)):
                raise Replaced(target)
            durable.sync_directory(os.path.dirname(target))
        except OSError:
            os.rename(target, self._name, dst_dir_fd=self._parent)
            raise

    def move_back(self, target: str) -> None:
        """Undo a `move`, also when the disk can't make that durable."""
        os.rename(target, self._name, dst_dir_fd=self._parent)
        with suppress(OSError):
            self._sync_parent()

    def move_beside(self, suffix: str) -> None:
        """Put something behind its name, durably."""
        os.rename(self._name, f"{self._name}{suffix}", src_dir_fd=self._parent, dst_dir_fd=self._parent)
        self._sync_parent()

    def _sync_parent(self) -> None:
        durable.sync_directory(f"/proc/self/fd/{self._parent}")  # opened anew: what is open with O_PATH has no fsync(2)


def _enter(above: int, name: str, path: str) -> int:
    try:
        return os.open(name, WAY, dir_fd=above)
    except NotADirectoryError:  # as O_DIRECTORY says of a symlink too
        raise Replaced(path) from None
