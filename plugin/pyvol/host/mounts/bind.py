"""Bind mounts, and what the host makes of them: for a process that was put into a mount namespace of its own."""

import os
import subprocess

from pyvol.host.files import directories
from pyvol.host.mounts.mountinfo import Mount
from pyvol.host.mounts.table import KernelMounts


def show(source: str, target: str, mounts: KernelMounts) -> None:
    """Show a directory, with what is mounted below it, at a second place; OSError when it can't be.

    Does nothing where it is shown already. What else is shown there, of a disk that has been exchanged or of a process
    that has ended, is taken away first: a mount outlives its process, and who uses it has a bind of his own.
    """
    directories.make(target)
    ours = mounts.read("self")
    bound, shown = _mount_at(source, ours), _mount_at(target, ours)
    if shown and os.path.samefile(source, target) and (bound is None or bound.group == shown.group != ""):
        return
    if shown:
        _run("umount", "--lazy", target)
    if bound:  # what is mounted below it from now on is to be seen there too
        _run("mount", "--make-shared", source)
    _run("mount", "--rbind", source, target)


def place_on_host(path: str, mounts: KernelMounts) -> str | None:
    """Return the path by which the host knows a directory that is bound here; None when that cannot be told."""
    bound, host = _mount_at(path, mounts.read("self")), mounts.host()
    if bound is None or host is None:
        return None
    for mount in mounts.read(host):
        if mount.device == bound.device and f"{bound.root}/".startswith(mount.root.rstrip("/") + "/"):
            place = os.path.normpath(os.path.join(mount.mountpoint, os.path.relpath(bound.root, mount.root)))
            if _same(path, mounts.seen_by(host, place)):  # another mount may hide it there
                return place
    return None


def reaches_host(path: str, mounts: KernelMounts) -> bool:
    """Tell whether what is mounted below a mountpoint appears on the host too, as far as that can be told."""
    bound, host = _mount_at(path, mounts.read("self")), mounts.host()
    if bound is None or host is None:
        return True
    return bool(bound.group) and bound.group in {mount.group for mount in mounts.read(host)}


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
