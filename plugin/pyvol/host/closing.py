"""Closes files. Of a lock on a dead server the last close(2) waits in the kernel; see `children.py`."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

CLOSE = """\
import os, signal, sys
signal.alarm(1)
for file in sys.argv[1:]:
    os.close(int(file))
"""
"""A signal that ends a process ends its waiting as well; the kernel then tells the server when that is back."""


def close(files: Sequence[int]) -> None:
    """Close files, the last of which are others' or are not remote."""
    for file in files:
        with suppress(OSError):  # close(2) tells of writes that failed, which whoever wrote has heard of
            os.close(file)


def close_elsewhere(files: Sequence[int]) -> None:
    """Have files closed that may be the last of a lock on a dead server; waits for nothing."""
    if files:
        threading.Thread(target=_close_elsewhere, args=(tuple(files),), name="close", daemon=True).start()


def _close_elsewhere(files: Sequence[int]) -> None:
    process = None
    with suppress(OSError):  # with no process to be had this thread waits for the server, and nobody for the thread
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", CLOSE, *map(str, files)], stdin=subprocess.DEVNULL, pass_fds=files
        )
    close(files)
    if process is not None:
        process.wait()
