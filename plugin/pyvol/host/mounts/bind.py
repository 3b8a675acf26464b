"""Bind mounts, and where the host sees them: for a process in its own mount namespace."""

import os
import subprocess

from pyvol.host.files import directories
from pyvol.host.mounts.mountinfo import Mount
from pyvol.host.mounts.table import KernelMounts


def show(source: str, target: str, mounts: KernelMounts) -> None:
    """Show a directory, with everything mounted below it, at a second path; raise OSError if that fails.

    Does nothing if the directory is already shown there. Any other mount at the target is unmounted first,
    for example of a disk that was replaced or of a process that has ended: a mount outlives its process, and
    each user of the mount has another bind.
    """
    directories.make(target)
    ours = mounts.read("self")
    bound, shown = _mount_at(source, ours), _mount_at(target, ours)
    if shown and os.path.samefile(source, target) and (bound is None or bound.group == shown.group != ""):
        return
    if shown:
        _run("umount", "--lazy", target)
    if bound:  # later mounts below the source have to appear at the target too
        _run("mount", "--make-shared", source)
    _run("mount", "--rbind", source, target)


def place_on_host(path: str, mounts: KernelMounts) -> str | None:
    """Return the path of a bound directory on the host; None if it is not known."""
    bound, host = _mount_at(path, mounts.read("self")), mounts.host()
    if bound is None or host is None:
        return None
    for mount in mounts.read(host):
        if mount.device == bound.device and f"{bound.root}/".startswith(mount.root.rstrip("/") + "/"):
            place = os.path.normpath(os.path.join(mount.mountpoint, os.path.relpath(bound.root, mount.root)))
            if _same(path, mounts.seen_by(host, place)):  # another mount may hide the directory there
                return place
    return None


def reaches_host(path: str, mounts: KernelMounts) -> bool:
    """Return whether mounts below a mountpoint also appear on the host; True if it is not known."""
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
