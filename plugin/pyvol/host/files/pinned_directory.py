"""A directory that stays open while it is checked and moved, so that pyvol moves what it checked.

A user with write access to a parent directory can replace it by a symlink or another directory at any moment.
"""

import errno
import os
from contextlib import suppress
from types import TracebackType
from typing import Self

from pyvol.host.files import durable

WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Replaced(OSError):
    """The directory was replaced by something else."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ESTALE, os.strerror(errno.ESTALE), path)


class PinnedDirectory:
    """A directory and its parent, both open.

    Args:
        path: absolute; opened name by name, without following symlinks.

    Attributes:
        descriptor: the directory, open with O_PATH.

    Raises:
        Replaced: a name of the path is a symlink, or is not a directory.
        OSError: for all other errors.
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
        """Rename the directory to a free name on its file system, durably; on OSError, nothing was moved."""
        os.rename(self._name, target, src_dir_fd=self._parent)
        try:
            if not os.path.samestat(os.lstat(target), os.fstat(self.descriptor)):
                raise Replaced(target)
            durable.sync_directory(os.path.dirname(target))
        except OSError:
            os.rename(target, self._name, dst_dir_fd=self._parent)
            raise

    def move_back(self, target: str) -> None:
        """Undo a `move`, even if the disk cannot make that durable."""
        os.rename(target, self._name, dst_dir_fd=self._parent)
        with suppress(OSError):
            self._sync_parent()

    def move_beside(self, suffix: str) -> None:
        """Add a suffix to the name of the directory, durably."""
        os.rename(self._name, f"{self._name}{suffix}", src_dir_fd=self._parent, dst_dir_fd=self._parent)
        self._sync_parent()

    def _sync_parent(self) -> None:
        durable.sync_directory(f"/proc/self/fd/{self._parent}")  # opened again: fsync(2) does not work with O_PATH


def _enter(above: int, name: str, path: str) -> int:
    try:
        return os.open(name, WAY, dir_fd=above)
    except NotADirectoryError:  # O_DIRECTORY raises it for a symlink too
        raise Replaced(path) from None
