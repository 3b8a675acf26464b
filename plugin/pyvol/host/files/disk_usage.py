"""The child process that counts directories: so that a million files cost the daemon neither time nor memory.

It can be killed where a file system hangs, and ends by itself when its output goes nowhere.
"""

import errno
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

PROGRAM = Path(__file__).with_name("disk_usage_program.py")
SILENCE_S = 30.0
"""A child that has not got further for so long waits for a file system that hangs."""


class Counter:
    """Counts one directory after the other, in one child that is made when it is needed."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()
        self._ended = False

    def count(self, path: str, per_second: float, on_progress: Callable[[int, int], None]) -> tuple[int, int, str]:
        """Return the bytes on disk, the files, and what could not be looked at.

        Args:
            path: a directory.
            per_second: how many entries to look at in a second; 0: as many as can be.
            on_progress: told of bytes and files every now and then.

        Raises:
            OSError: the file system hangs, or the child was ended.
        """
        child = self._started()
        assert child.stdin is not None  # noqa: S101  # it has pipes
        assert child.stdout is not None  # noqa: S101  # the same
        try:
            child.stdin.write(json.dumps([path, per_second]).encode() + b"\n")
            child.stdin.flush()
            rest = b""
            while True:
                *lines, rest = (rest + _more(child.stdout)).split(b"\n")
                for line in lines:
                    size, files, done, trouble = json.loads(line)
                    if done:
                        return size, files, trouble
                    on_progress(size, files)
        except BaseException:
            self.rest()
            raise

    def rest(self) -> None:
        """End the child; the next count makes another."""
        with self._guard:
            child, self._child = self._child, None
        if child is not None:
            child.kill()
            with child:
                pass

    def end(self) -> None:
        """End the child for good; a count under way fails."""
        self._ended = True
        with self._guard:
            if self._child is not None:
                self._child.kill()

    def _started(self) -> "subprocess.Popen[bytes]":
        with self._guard:
            if self._ended:
                raise ChildProcessError(errno.ECHILD, "the counting was ended")
            if self._child is None:
                # A clean interpreter: it needs the standard library alone, and starts in a moment.
                self._child = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
                )
            return self._child


class Counts:
    """Counts that each have a child of their own; `end` gives them up."""

    def __init__(self) -> None:
        self._counters: set[Counter] = set()
        self._ended = False
        self._guard = threading.Lock()

    def count(self, path: str, on_progress: Callable[[int, int], None]) -> tuple[int, int, str]:
        """Count a directory at full speed, see `Counter.count`."""
        counter = Counter()
        with self._guard:
            if self._ended:
                raise _stopping()
            self._counters.add(counter)
        try:
            return counter.count(path, 0, on_progress)
        except OSError:
            if self._ended:
                raise _stopping() from None
            raise
        finally:
            with self._guard:
                self._counters.discard(counter)
            counter.rest()

    def end(self) -> None:
        """Give all of them up, for good."""
        with self._guard:
            self._ended = True
            for counter in self._counters:
                counter.end()


def _stopping() -> ChildProcessError:
    return ChildProcessError(errno.ECHILD, "pyvol is stopping")


def _more(output: IO[bytes]) -> bytes:
    """Return what a child has written meanwhile."""
    poll = select.poll()  # select(2) knows no more than 1024 open files
    poll.register(output, select.POLLIN)
    if not poll.poll(1000 * SILENCE_S):
        raise TimeoutError(errno.ETIMEDOUT, "its file system does not answer")
    part = os.read(output.fileno(), 1 << 16)
    if not part:
        raise ChildProcessError(errno.ECHILD, "the counting was ended")
    return part
