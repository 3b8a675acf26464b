"""Locks of flock(2), which are an open file's."""

import fcntl
import os
from pathlib import Path


def locked(path: Path) -> int:
    """Return an open file that is locked."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def is_free(path: Path) -> bool:
    """Tell whether nobody has a file locked."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
