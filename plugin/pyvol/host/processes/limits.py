"""Locks on files and directories, an end with the parent process, and the limit of open files."""

import ctypes
import fcntl
import os
import resource
import signal
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
FILES = 65536
"""As in pyvol's unit: a lock on an NFS pool takes two, a request that is under way four."""


def lock_file(path: Path, patience_s: float) -> int | None:
    """Lock a file for this process and its children; None when another has it for longer than the patience.

    The lock ends with the last process that has it, however it ends. See flock(2).
    """
    return _lock(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), patience_s)


def lock_directory(path: Path, patience_s: float) -> int | None:
    """Lock a directory itself, in the same way.

    That needs no file, so it works on a full disk. The disk can still be remounted read-only.
    """
    return _lock(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), patience_s)


def _lock(descriptor: int, patience_s: float) -> int | None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(0.02)
        else:
            return descriptor


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent dies, see prctl(2). Raise OSError if it refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def allow_files() -> None:
    """Let this process and its children have many files open: a shell's limit is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
