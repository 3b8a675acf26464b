"""Counts what directories take on their disk: a program of its own, see `disk_usage.py`, that imports nothing of pyvol.

A line of standard input is a JSON list: a directory, and how many entries a second may be looked at (0: no limit).
Lines of standard output are JSON lists: bytes, files, whether it is done, and what could not be looked at.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
TELL_S = 0.5
PAUSE_ENTRIES = 256
EACH = 50
"""What a directory counts for by itself, so that many small ones are no stampede."""
PAGE = 512
"""Inodes whose bits make one number: memory goes with their range on the disk, an eighth of a byte for each."""
BLOCK = 512
"""The unit of st_blocks, whatever the file system's own block is."""


class Seen:
    """The inodes with several names that were met: each of them is counted once."""

    def __init__(self) -> None:
        self._pages: dict[int, int] = {}

    def is_new(self, inode: int) -> bool:
        """Note an inode; tell whether it had not been met."""
        page, bit = divmod(inode, PAGE)
        bits = self._pages.get(page, 0)
        self._pages[page] = bits | 1 << bit
        return not bits >> bit & 1


class Count:
    """One directory's count. Memory stays flat: it has one open directory for each level, and no list of anything."""

    def __init__(self) -> None:
        self.bytes = 0
        self.files = 0
        self.entries = 0
        self.trouble = ""
        self._seen = Seen()

    def run(self, root: str) -> Iterator[None]:
        """Count a directory and what is below it on its file system; yields after each entry."""
        top = os.open(root, DIRECTORY)
        self.bytes += os.fstat(top).st_blocks * BLOCK
        mount = mount_id(top)
        levels = [(top, os.scandir(top))]
        while levels:
            descriptor, entries = levels[-1]
            try:
                entry = next(entries, None)
            except OSError as error:  # the rest of it cannot be read
                self.trouble, entry = str(error.strerror), None
            if entry is None:
                entries.close()
                os.close(descriptor)
                levels.pop()
                continue
            self.entries += 1
            try:
                below = self._add(entry, mount, descriptor)
                if below is not None:
                    levels.append((below, self._list(below)))
            except FileNotFoundError:
                pass  # gone since it was listed
            except OSError as error:
                self.trouble = f"{entry.name}: {error.strerror}"
            yield

    @staticmethod
    def _list(descriptor: int) -> "os._ScandirIterator[str]":
        """Return what is in a directory; one that cannot be listed is closed, or each would cost a file for good."""
        try:
            return os.scandir(descriptor)
        except OSError:
            os.close(descriptor)
            raise

    def _add(self, entry: "os.DirEntry[str]", mount: bytes, parent: int) -> int | None:
        """Count an entry; return a directory to go on with, open."""
        if entry.is_dir(follow_symlinks=False):
            below = os.open(entry.name, DIRECTORY, dir_fd=parent)
            try:
                is_ours = mount_id(below) == mount  # else it is mounted there: somebody else's
            except OSError:
                os.close(below)
                raise
            if is_ours:
                self.bytes += os.fstat(below).st_blocks * BLOCK
                return below
            os.close(below)
            return None
        found = entry.stat(follow_symlinks=False)
        if found.st_nlink == 1 or self._seen.is_new(found.st_ino):
            self.bytes += found.st_blocks * BLOCK
            self.files += 1
        return None


def mount_id(descriptor: int) -> bytes:
    """Return which mount an open directory is in: a bind of another one on the same disk has its device number."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as lines:
        return next(line for line in lines if line.startswith(b"mnt_id:"))


def count(root: str, per_second: float) -> None:
    """Count a directory, at a bounded rate, and tell how far it is every now and then."""
    counting = Count()
    begun = told = time.monotonic()
    try:
        for _ in counting.run(root):
            if counting.entries % PAUSE_ENTRIES == 0:
                now = time.monotonic()
                if now - told >= TELL_S:
                    tell(counting, done=False)
                    told = now
                if per_second:
                    time.sleep(min(max(counting.entries / per_second - (now - begun), 0), TELL_S))
    except OSError as error:
        counting.trouble = f"{root}: {error.strerror}"
    if per_second:
        time.sleep(max((counting.entries + EACH) / per_second - (time.monotonic() - begun), 0))
    tell(counting, done=True)


def tell(counting: Count, *, done: bool) -> None:
    """Write a line."""
    print(json.dumps([counting.bytes, counting.files, done, counting.trouble]), flush=True)  # noqa: T201  # it is asked so


def main() -> None:
    """Count one directory after the other, until standard input ends."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who asked may be killed: then it ends without a word
    os.nice(19)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for line in sys.stdin:
        count(*json.loads(line))


if __name__ == "__main__":
    main()
