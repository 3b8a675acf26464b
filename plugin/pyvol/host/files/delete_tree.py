"""Delete a directory tree of any depth and shape, also one that was made to prevent that."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Never through a symlink, even if one is put there after the directory was listed."""
MOUNTED = "something is mounted there"
"""Why a mountpoint stays. Deleting it by hand would delete what is mounted there."""


def delete_tree(root: str) -> list[str]:
    """Delete a directory and everything in it; return what could not be deleted and why, one line each.

    Every sub-directory is renamed to the top and emptied there, so that depth needs no recursion, descriptors
    or memory. Symlinks are unlinked, never followed. No mountpoint is crossed: rename(2), unlink(2) and
    rmdir(2) refuse it with EBUSY. After a crash, another call continues.
    """
    try:
        with _opened(root) as top:
            stayed = _Deletion(top).run()
        if not stayed:
            os.rmdir(root)
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{root}: {_why(error)}"]
    return [f"{root}/{line}" for line in stayed]


class _Deletion:
    """A running deletion, in the directory that is open as `top`."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._lifted = 0
        self._stayed: dict[str, str] = {}

    def run(self) -> list[str]:
        """Repeat passes over the top until a pass finds nothing to delete."""
        while self._pass():
            pass
        return [f"{name}: {why}" for name, why in self._stayed.items()]

    def _pass(self) -> bool:
        progress = False
        with os.scandir(self._top) as entries:
            for entry in entries:
                if entry.name in self._stayed:
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        self._delete_directory(self._lift(entry.name, self._top))
                    else:
                        os.unlink(entry.name, dir_fd=self._top)
                except FileNotFoundError:
                    pass  # it was renamed after it was listed
                except OSError as error:
                    self._stayed[entry.name] = _why(error)
                progress = True
        return progress

    def _delete_directory(self, name: str) -> None:
        """Empty and remove a directory at the top; on failure, remember the reason under its new name."""
        try:
            failed = self._empty_directory(name)
            if not failed:
                os.rmdir(name, dir_fd=self._top)
        except OSError as error:
            failed = _why(error)
        if failed:
            self._stayed[name] = failed

    def _empty_directory(self, name: str) -> str:
        failed = ""
        with _opened(name, self._top) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        self._lift(entry.name, descriptor)
                    else:
                        os.unlink(entry.name, dir_fd=descriptor)
                except OSError as error:
                    failed = f"{entry.name}: {_why(error)}"
        return failed

    def _lift(self, name: str, parent: int) -> str:
        """Rename a sub-directory to a free name at the top; a mountpoint raises OSError."""
        while True:
            self._lifted += 1
            lifted = f".{self._lifted}"
            try:
                # An interrupted run may have left a directory of that name: rename(2) replaces an empty one
                # only.
                os.rename(name, lifted, src_dir_fd=parent, dst_dir_fd=self._top)
            except (FileExistsError, NotADirectoryError):
                continue
            except OSError as error:
                if error.errno == errno.ENOTEMPTY:
                    continue
                raise
            return lifted


def _why(error: OSError) -> str:
    return MOUNTED if error.errno == errno.EBUSY else str(error.strerror)


@contextmanager
def _opened(path: str, parent: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, DIRECTORY, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
