"""Copies of trees by GNU cp, in a child that ends with us: owners, modes, times, links, holes, attributes."""

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable
from typing import NamedTuple

from pyvol.host.processes import run

LOOK_S = 0.3
LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
COPY = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    # Named once more, so that an attribute that can't be kept is an error.
    *("cp", "--archive", "--preserve=xattr", "--reflink=auto", "--no-target-directory", "--"),
)


class Copies:
    """Copies under way; `end` gives them up."""

    def __init__(self) -> None:
        self._children: set[subprocess.Popen[bytes]] = set()
        self._ended = False
        self._guard = threading.Lock()

    def copy(self, source: int, target: str, on_progress: Callable[[int], None]) -> str:
        """Copy a directory to a name that is free, and to the disk; return what went wrong, empty when nothing did.

        Args:
            source: the directory, open, so that nobody can put another in its place.
            target: the copy.
            on_progress: told every now and then how many bytes were written.
        """
        with tempfile.TemporaryFile() as errors:
            with self._guard:
                if self._ended:
                    return "pyvol is stopping"
                child = subprocess.Popen(
                    [*COPY, ".", target],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    cwd=f"/proc/self/fd/{source}",
                )
                self._children.add(child)
            try:
                while _wait(child) is None:
                    on_progress(_written(child.pid))
            finally:
                with self._guard:
                    self._children.discard(child)
            if child.returncode:
                errors.seek(0)
                lines = errors.read(1 << 16).decode(errors="replace").splitlines()
                return lines[0] if lines else f"cp was ended ({child.returncode})"
        synced = run.run(["sync", "--file-system", target])
        return synced.errors.strip() or (f"sync was ended ({synced.status})" if synced.status else "")

    def end(self) -> None:
        """Give all of them up, for good."""
        with self._guard:
            self._ended = True
            for child in self._children:
                child.kill()


def find_changed(directory: int, mark: str) -> str | None:
    """Return what in an open tree was changed after a file was, by its path below; None for nothing. Raises OSError.

    The kernel stamps both, so that no clock of another kind is compared. What is put in the place of another meanwhile
    is stamped too; so each directory is looked at once more when it is open.
    """
    since_ns = os.lstat(mark).st_ctime_ns
    levels: list[_Level] = []
    try:
        changed = _enter(levels, directory, ".", since_ns)
        while levels and changed is None:
            level = levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                levels.pop().close()
            elif entry.stat(follow_symlinks=False).st_ctime_ns > since_ns:
                changed = f"{level.path}/{entry.name}"
            elif entry.is_dir(follow_symlinks=False):
                changed = _enter(levels, level.descriptor, entry.name, since_ns)
        return changed
    finally:
        for level in levels:
            level.close()


class _Level(NamedTuple):
    """A directory on the way down."""

    path: str
    descriptor: int
    entries: "os._ScandirIterator[str]"

    def close(self) -> None:
        self.entries.close()
        os.close(self.descriptor)


def _enter(levels: list[_Level], above: int, name: str, since_ns: int) -> str | None:
    """Go on with a directory; return its path where it was changed."""
    path = f"{levels[-1].path}/{name}" if levels else name
    descriptor = os.open(name, LISTED, dir_fd=above)
    try:
        is_changed = os.fstat(descriptor).st_ctime_ns > since_ns
        levels.append(_Level(path, descriptor, os.scandir(descriptor)))
    except OSError:
        os.close(descriptor)
        raise
    return path if is_changed else None


def on_one_mount(one: str, other: str) -> bool:
    """Tell whether a directory can be renamed to below another: same mount, same file system. Raises OSError."""
    return _mount(one) == _mount(other)


def _mount(path: str) -> tuple[str, int]:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as lines:
            mount_id = next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
        return mount_id, os.fstat(descriptor).st_dev  # which differs between subvolumes of btrfs
    finally:
        os.close(descriptor)


def _wait(child: "subprocess.Popen[bytes]") -> int | None:
    try:
        return child.wait(LOOK_S)
    except subprocess.TimeoutExpired:
        return None


def _written(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))
    except (OSError, StopIteration):  # it has just ended
        return 0
