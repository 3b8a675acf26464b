"""Deleting a tree of any depth and shape, made by anyone."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How directories are opened: never through a symlink, whatever somebody puts there between a look and a visit."""
MOUNTED = "something is mounted there"
"""Why a mountpoint stayed. Whoever deletes one by hand deletes what is mounted."""


def delete_tree(root: str) -> list[str]:
    """Delete a directory and what is in it; return what stayed and why, a line each.

    Every sub-directory is renamed to the top and emptied there. So depth costs neither recursion nor descriptors nor
    memory; symlinks are unlinked, never followed; and no mountpoint is ever crossed, for rename(2), unlink(2) and
    rmdir(2) refuse one with EBUSY. Run again after a crash, it goes on where it was.
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
    """One deletion under way, in the directory open as `top`."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._lifted = 0
        self._stayed: dict[str, str] = {}

    def run(self) -> list[str]:
        """Pass over the top until a pass finds nothing that it could still delete."""
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
                    pass  # renamed since it was listed
                except OSError as error:
                    self._stayed[entry.name] = _why(error)
                progress = True
        return progress

    def _delete_directory(self, name: str) -> None:
        """Empty and remove a directory at the top; what fails is kept under the name that it has now."""
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
        """Rename a sub-directory to a free name at the top; a mountpoint refuses."""
        while True:
            self._lifted += 1
            lifted = f".{self._lifted}"
            try:
                # An empty directory of that name may be left from a run cut short: it is replaced. A full one refuses.
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
