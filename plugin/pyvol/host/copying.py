"""Copies of trees by GNU cp, in a child that ends with us: owners, modes, times, links, holes, attributes."""

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable

from pyvol.host import programs

LOOK_S = 0.3
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

    def copy(self, source: str, target: str, heard: Callable[[int], None]) -> str:
        """Copy a directory to a name that is free, and to the disk; return what went wrong, empty when nothing did.

        Args:
            source: the directory.
            target: the copy.
            heard: told every now and then how many bytes were written.
        """
        with tempfile.TemporaryFile() as errors:
            with self._guard:
                if self._ended:
                    return "pyvol is stopping"
                child = subprocess.Popen(
                    [*COPY, source, target], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, cwd="/"
                )
                self._children.add(child)
            try:
                while _wait(child) is None:
                    heard(_written(child.pid))
            finally:
                with self._guard:
                    self._children.discard(child)
            if child.returncode:
                errors.seek(0)
                lines = errors.read(1 << 16).decode(errors="replace").splitlines()
                return lines[0] if lines else f"cp was ended ({child.returncode})"
        synced = programs.run(["sync", "--file-system", target])
        return synced.errors.strip() or (f"sync was ended ({synced.status})" if synced.status else "")

    def end(self) -> None:
        """Give all of them up, for good."""
        with self._guard:
            self._ended = True
            for child in self._children:
                child.kill()


def find_changed(directory: str, mark: str) -> str | None:
    """Return something in a tree, itself included, that was changed after a file was. Raises OSError.

    The kernel stamps both, so that no clock of another kind is compared.
    """
    since_ns = os.lstat(mark).st_ctime_ns
    if os.lstat(directory).st_ctime_ns > since_ns:
        return directory
    left = [directory]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.stat(follow_symlinks=False).st_ctime_ns > since_ns:
                    return entry.path
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
    return None


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
