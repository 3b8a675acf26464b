"""Runs in a container of the guest: writes and reads in two directories; prints the seconds per round.

Usage: python -m bench.nfs_io DIRECTORY DIRECTORY ROUNDS MIB
"""

import functools
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.rounds import take_turns

CACHES = Path("/proc/sys/vm/drop_caches")
BLOCK = 4096
CALLS = 256


def timed(act: Callable[[], None]) -> list[float]:
    """Return the seconds that a function took."""
    begun = time.perf_counter()
    act()
    return [time.perf_counter() - begun]


def write(file: int, size: int) -> None:
    """Write in large pieces, and sync to the server's disk."""
    piece = os.urandom(1 << 20)
    for offset in range(0, size, len(piece)):
        os.pwrite(file, piece, offset)
    os.fsync(file)


def read(file: int, size: int) -> None:
    """Read in large pieces."""
    for offset in range(0, size, 1 << 20):
        os.pread(file, 1 << 20, offset)


def offsets(size: int) -> list[int]:
    """Return the offsets of the small reads and writes, the same ones in each run."""
    return random.Random(size).sample(range(0, size, BLOCK), min(CALLS, size // BLOCK))  # noqa: S311  # no secret


def write_small(file: int, size: int) -> None:
    """Write single blocks, and sync each to the server's disk."""
    for offset in offsets(size):
        os.pwrite(file, bytes(BLOCK), offset)
        os.fdatasync(file)


def read_small(file: int, size: int) -> None:
    """Read single blocks."""
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
    for offset in offsets(size):
        os.pread(file, BLOCK, offset)


def turn(directory: Path, size: int) -> dict[str, list[float]]:
    """Do each kind of I/O once; reads must not come from this machine's cache."""
    path = directory / "io"
    taken = {}
    for what, act in (
        ("sequential write", write),
        ("sequential read", read),
        ("4k write, each synced", write_small),
        ("4k random read", read_small),
    ):
        CACHES.write_text("3")
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        taken[what] = timed(functools.partial(act, file, size))
        os.close(file)
    path.unlink()
    return taken


def main() -> None:
    """Use the two directories in turn."""
    one, other, rounds, mib = sys.argv[1:]
    batches = {directory: functools.partial(turn, Path(directory), int(mib) << 20) for directory in (one, other)}
    taken = take_turns(batches, int(rounds))
    print(json.dumps({who: {what: series.rounds for what, series in kinds.items()} for who, kinds in taken.items()}))


if __name__ == "__main__":
    main()
