"""Copies of directory trees by GNU cp, in a child process that ends with this one.

cp keeps all that a file has: owner, mode, times, links, attributes and holes.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable
from typing import NamedTuple

from pyvol.core.concurrency.task import Task
from pyvol.host.processes import run

LOOK_S = 0.3
LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
COPY = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    # --archive ignores an attribute that it cannot keep; --preserve=xattr makes that an error.
    *("cp", "--archive", "--preserve=xattr", "--reflink=auto", "--no-target-directory", "--"),
)


def copy(source: int, target: str, task: Task, on_progress: Callable[[int], None]) -> str:
    """Copy a directory to a free name, and sync the copy; return what went wrong, or an empty string.

    Args:
        source: the directory, open, so that nobody can put another directory in its place.
        target: the copy.
        task: if it is cancelled, the copy fails and stays incomplete.
        on_progress: gets the bytes written so far.
    """
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [*COPY, ".", target],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=f"/proc/self/fd/{source}",
        )
        with child, task.on_cancel(child.kill):
            while _wait(child) is None:
                on_progress(_written(child.pid))
        if child.returncode:
            errors.seek(0)
            lines = errors.read(1 << 16).decode(errors="replace").splitlines()
            return task.reason or (lines[0] if lines else f"cp was killed ({child.returncode})")
    synced = run.run(["sync", "--file-system", target])
    return synced.errors.strip() or (f"sync was killed ({synced.status})" if synced.status else "")


def find_changed(directory: int, mark: str) -> str | None:
    """Return the path of something below an open directory that changed after the file `mark`, or None.

    The kernel stamps both, so that only stamps of one clock are compared. The kernel also stamps a directory
    that replaces another one; so each directory is checked again when it is open. Raises OSError.
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
    """Enter a directory; return its path if it was changed."""
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
    """Return whether a directory can be renamed to below another: same mount, same file system.

    Raises OSError.
    """
    return _mount(one) == _mount(other)


def _mount(path: str) -> tuple[str, int]:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as lines:
            mount_id = next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
        return mount_id, os.fstat(descriptor).st_dev  # subvolumes of btrfs differ in it
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
