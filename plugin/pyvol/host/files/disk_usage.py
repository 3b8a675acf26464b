"""Counts the disk usage of a directory.

GNU find walks the tree, so a million files cost this process little time.

find is a child process: it runs at the lowest priority, and can be killed when a file system hangs.
"""

import errno
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection

from pyvol.core.concurrency.task import Task

SILENCE_S = 30.0
"""If find writes nothing for so long, its file system hangs."""
PIPE_BYTES = 4096
"""find waits when so much of its output is unread: its speed is bounded by how fast we read."""
MIN_ENTRIES = 50
"""What a directory counts for at least, so that many small directories are counted slowly too."""
BLOCK = 512
"""The unit of %b, whatever the file system's own block size is."""
PAGE = 512


def count(
    path: str, task: Task, on_progress: Callable[[int, int], None], per_second: float, mounted: Collection[str] = ()
) -> tuple[int, int, str]:
    """Return the bytes on disk, the files, and what could not be looked at.

    A file with several names counts once. Other file systems below the directory are not counted.

    Args:
        path: an absolute path.
        task: if it is cancelled, the count fails.
        on_progress: gets the bytes and files so far.
        per_second: how many entries to look at in a second; 0: as many as possible.
        mounted: the mountpoints below the directory; a bind of the same file system cannot be seen otherwise.

    Raises:
        OSError: the file system hangs, or find was killed.
    """
    begun = time.monotonic()
    found = _Count()
    with tempfile.TemporaryFile() as errors, _find(path, mounted, errors.fileno()) as find, task.on_cancel(find.kill):
        try:
            assert find.stdout is not None  # noqa: S101  # it is a pipe
            rest = b""
            while part := _read(find.stdout.fileno()):
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    found.add(line)
                on_progress(found.bytes, found.files)
                _slow_down(found.entries, per_second, begun)
        except BaseException:
            find.kill()
            raise
        if find.wait() < 0:
            raise ChildProcessError(errno.ECHILD, task.reason or "the counting was killed")
        _slow_down(found.entries + MIN_ENTRIES, per_second, begun)
        errors.seek(0)
        problem = errors.readline(1000).decode(errors="replace").strip().removeprefix("find: ")
    if found.entries == 0:
        problem = problem or f"{path}: No such file or directory"
    elif not found.is_directory:
        return 0, 0, f"{path}: Not a directory"
    return found.bytes, found.files, problem


class _Count:
    """What find has listed so far."""

    def __init__(self) -> None:
        self.bytes = self.files = self.entries = 0
        self.is_directory = False
        self._seen: dict[int, int] = {}

    def add(self, line: bytes) -> None:
        """Count an entry: its type, links, inode and blocks."""
        kind, links, inode, blocks = line.split()
        self.entries += 1
        if kind == b"d":
            self.is_directory = self.is_directory or self.entries == 1
        elif links != b"1" and self._is_known(int(inode)):
            return
        else:
            self.files += 1
        self.bytes += int(blocks) * BLOCK

    def _is_known(self, inode: int) -> bool:
        """Return whether an inode was counted before.

        Takes a bit for each inode, because inodes are close together.
        """
        page, bit = divmod(inode, PAGE)
        before = self._seen.get(page, 0)
        self._seen[page] = before | 1 << bit
        return bool(before >> bit & 1)


def _find(path: str, mounted: Collection[str], errors: int) -> "subprocess.Popen[bytes]":
    skip = [word for place in mounted for word in ("-path", re.sub(r"([\\*?\[])", r"\\\1", place), "-prune", "-o")]
    return subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL", "--", "nice", "-n", "19"),
            *("find", path, "-ignore_readdir_race", "-xdev", *skip, "-printf", r"%y %n %i %b\n"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd="/",
        env={**os.environ, "LC_ALL": "C"},
        pipesize=PIPE_BYTES,
    )


def _read(output: int) -> bytes:
    poll = select.poll()  # select(2) knows no more than 1024 open files
    poll.register(output, select.POLLIN)
    if not poll.poll(1000 * SILENCE_S):
        raise TimeoutError(errno.ETIMEDOUT, "its file system does not answer")
    return os.read(output, 1 << 16)


def _slow_down(entries: int, per_second: float, begun: float) -> None:
    if per_second:
        time.sleep(max(entries / per_second - (time.monotonic() - begun), 0))
