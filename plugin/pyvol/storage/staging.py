"""What never became a volume: the directories `new-<id>` that a crash left among the things in the making."""

import os
from collections.abc import Sequence

from pyvol.host import trees

NEW = "new-"
FORGOTTEN_S = 24 * 3600.0
"""What is younger, another host may be about to finish; nobody takes so long over a creation."""


def clear(directory: str) -> int:
    """Delete all of it, and return how many; raises OSError."""
    return _delete(directory, _unfinished(directory))


def clear_forgotten(directory: str) -> int:
    """Delete what is a day old, by the clock that stamps its files: a server's, not this host's. Raises OSError."""
    unfinished = _unfinished(directory)
    if not unfinished:
        return 0
    os.utime(directory)
    latest = os.stat(directory).st_mtime - FORGOTTEN_S
    return _delete(directory, [name for name in unfinished if _is_older(f"{directory}/{name}", latest)])


def _unfinished(directory: str) -> list[str]:
    return [name for name in os.listdir(directory) if name.startswith(NEW)]


def _is_older(path: str, latest: float) -> bool:
    try:
        return os.lstat(path).st_mtime < latest
    except FileNotFoundError:  # another host has just finished it
        return False


def _delete(directory: str, names: Sequence[str]) -> int:
    for name in names:
        trees.delete_tree(f"{directory}/{name}")
    return len(names)
