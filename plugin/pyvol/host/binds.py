"""Bind mounts, and where the host has what is bound here: for a process in a mount namespace of its own.

The host is process 1, as far as it can be seen: with a process namespace of our own it is ourselves.
"""

import os
import subprocess

from pyvol.host.mounts import KernelMounts, Mount


def show(source: str, target: str) -> None:
    """Show a directory, with what is mounted below it, at a second place; OSError when it can't be.

    Does nothing where it is shown already: a mount outlives the process that made it. What else is shown there, of a
    disk that has been exchanged, is taken away first; who uses it has a bind of its own.
    """
    os.makedirs(target, mode=0o711, exist_ok=True)
    if os.path.samefile(source, target):
        return
    # os.path.ismount sees no bind of a directory of the same file system.
    if _mount_at(target, KernelMounts().read("self")):
        _run("umount", "--lazy", target)
    _run("mount", "--rbind", source, target)


def place_on_host(path: str, proc: str = "/proc") -> str | None:
    """Return the path by which the host knows a directory that is bound here; None when that cannot be told."""
    mounts = KernelMounts(proc)
    bound = _mount_at(path, mounts.read("self"))
    if bound is None:
        return None
    for mount in mounts.read("1"):
        if mount.device == bound.device and f"{bound.root}/".startswith(mount.root.rstrip("/") + "/"):
            place = os.path.normpath(os.path.join(mount.mountpoint, os.path.relpath(bound.root, mount.root)))
            if _same(path, f"{proc}/1/root{place}"):  # another mount may hide it there
                return place
    return None


def _mount_at(path: str, mounts: list[Mount]) -> Mount | None:
    return next((mount for mount in reversed(mounts) if mount.mountpoint == path), None)


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.returncode, done.stderr.strip() or f"{command[0]} failed", command[-1])
