"""Locks of flock(2), which belong to an open file; and the limit of open files."""

import fcntl
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count, islice
from pathlib import Path


def locked(path: Path) -> int:
    """Return an open file that is locked."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def is_free(path: Path) -> bool:
    """Return whether no process has a file locked."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def limited(pid: int, more: int) -> Iterator[None]:
    """Let a process have so many more files open."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(file.name) for file in Path(f"/proc/{pid}/fd").iterdir()}
    free = (number for number in count() if number not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (next(islice(free, more, None)), before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
