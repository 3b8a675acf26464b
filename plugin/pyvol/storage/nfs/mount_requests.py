"""A worker's requests about exports: mount one, create its path, set the owner of its root."""

import errno
import os

from pyvol.core import errors
from pyvol.core.model.volume import Space
from pyvol.host.files import directories
from pyvol.host.mounts import mount
from pyvol.host.mounts.mount import MNT_DETACH, MountFailed
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.mounts import stale_mounts
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.remote.mount_messages import MountExport, OwnMount

MISSING = frozenset({errno.ENOENT, errno.EACCES})
"""What mount.nfs says of a path that the server does not have.

EACCES is NFSv3's, for a path outside of any export.
"""
MADE_MODE = 0o755
MOUNTS = KernelMounts()
"""The mounts of this host. A worker is a program, so it makes its own."""


def own(request: MountExport | OwnMount) -> Space:
    """Set the owner and mode of the root of a mount. Raises `StorageFailed`, also if the mount is dead."""
    with storage_errors("cannot be used", volume=request.volume, pool=request.pool):
        directories.own(request.target, request.uid, request.gid, request.mode)
        return directories.space(request.target)


def mount_export(request: MountExport) -> Space:
    """Mount an export. Raises `StorageFailed`, and nothing is mounted then."""
    what = f"cannot be mounted from {request.host}:{request.path}"
    with storage_errors(what, volume=request.volume, pool=request.pool):
        directories.make(request.target)
        try:
            _mount_at(request, request.path, request.target)
        except MountFailed as error:
            if not request.create or error.errno not in MISSING or request.path == "/":
                raise
            _make_path(request, error)
            _mount_at(request, request.path, request.target)
    try:
        return own(request)
    except errors.StorageFailed:
        mount.unmount(request.target, MNT_DETACH)
        raise


def _mount_at(request: MountExport, path: str, target: str) -> None:
    host = f"[{request.host}]" if ":" in request.host else request.host
    # By default mount.nfs tries again for two minutes, and with bg it reports success before that.
    options = ",".join(filter(None, [request.options, "fg", "retry=0"]))
    mount.mount(request.kind, f"{host}:{path}", target, options, MOUNTS)


def _make_path(request: MountExport, missing: MountFailed) -> None:
    """Create a path on the server, through the nearest directory above it that can be mounted."""
    scratch = stale_mounts.passing(request.target)
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    while mount.unmount(scratch, MNT_DETACH):
        pass  # an attempt that was killed left it
    above = request.path.rstrip("/")
    try:
        while above not in {"", "/"}:
            above = os.path.dirname(above)
            try:
                _mount_at(request, above, scratch)
            except MountFailed as error:
                if error.errno not in MISSING:
                    raise
            else:
                break
        else:
            raise missing
        try:
            directories.make_below(scratch, os.path.relpath(request.path, above), MADE_MODE)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            # With NFSv4 the directories above the exports can be mounted too.
            raise errors.StorageFailed(
                "cannot be mounted",
                f"{request.host} has no {request.path}, and {above} is read-only there",
                "correct the path, or export it",
                volume=request.volume,
                pool=request.pool,
            ) from error
        finally:
            mount.unmount(scratch, MNT_DETACH)
    finally:
        os.rmdir(scratch)
