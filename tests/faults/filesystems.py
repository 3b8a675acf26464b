"""File systems for one test, mounted on this machine during a `with` block."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILLER = "filler"


@contextlib.contextmanager
def mounted(directory: Path, *arguments: str | Path) -> Iterator[Path]:
    """Mount on a directory, and create it if it is missing; `arguments` come before it in mount(8)."""
    directory.mkdir(parents=True, exist_ok=True)
    run("mount", *arguments, directory)
    try:
        yield directory
    finally:
        # Lazily: a file system that is broken on purpose may stay busy, and must not stop the rest.
        run("umount", "--lazy", directory)


def tmpfs(directory: Path, size_kib: int) -> contextlib.AbstractContextManager[Path]:
    """Mount a small file system that is quickly full."""
    return mounted(directory, "-t", "tmpfs", "-o", f"mode=755,size={size_kib}k", "tmpfs")


def bound(directory: Path) -> contextlib.AbstractContextManager[Path]:
    """Bind a directory to itself, so that it can be made read-only."""
    directory.mkdir(parents=True, exist_ok=True)
    return mounted(directory, "--bind", directory)


def remount(directory: Path, option: str) -> None:
    """Make a bound directory read-only (`ro`) or writable (`rw`)."""
    run("mount", "-o", f"remount,bind,{option}", directory)


def fill(directory: Path) -> None:
    """Write until the file system is full."""
    descriptor = os.open(directory / FILLER, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, bytes(512))
    os.close(descriptor)


def make_room(directory: Path) -> None:
    """Undo `fill`."""
    (directory / FILLER).unlink()


def run(*words: str | Path) -> str:
    """Run a command that must succeed; return its output."""
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout
