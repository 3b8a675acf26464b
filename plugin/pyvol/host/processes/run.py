"""Other programs of this host, run to their end."""

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from typing import NamedTuple


class Ended(NamedTuple):
    """How a program ended, and what it wrote."""

    status: int
    output: bytes
    errors: str


def has(program: str) -> bool:
    """Return whether PATH has a program of this name."""
    return shutil.which(program) is not None


def run(words: Sequence[str], patience_s: float | None = None) -> Ended:
    """Run a program to its end, with nothing to read.

    Args:
        words: the program, and what it is given.
        patience_s: how long it may take; then it is killed, with all that it has started. None: as long as it
            takes.

    Raises:
        TimeoutError: it took longer.
        OSError: it cannot be started.
    """
    child = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
    )
    with child:
        try:
            output, errors = child.communicate(timeout=patience_s)
        except BaseException as error:
            # What it has started may hold its output open, and would be waited for.
            os.killpg(child.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimeoutError(errno.ETIMEDOUT, f"it has not ended after {patience_s:.0f} s", words[0]) from None
            raise
    return Ended(child.returncode, output, errors.decode(errors="replace"))
