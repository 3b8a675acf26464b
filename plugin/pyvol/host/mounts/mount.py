"""mount(8) and umount2(2).

Remote file systems are mounted in a child that can be killed (`worker_pool.py`).
"""

import ctypes
import errno
import os
import subprocess

from pyvol.core.model.mount_spec import redact
from pyvol.host.mounts.table import KernelMounts

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
"""See umount(2)."""

ERRNOS = {
    "No such file or directory": errno.ENOENT,
    "Stale file handle": errno.ESTALE,
    "access denied by server": errno.EACCES,
    "Permission denied": errno.EACCES,
    "Operation not permitted": errno.EPERM,
    "Protocol not supported": errno.EPROTONOSUPPORT,
    "transport protocol is not supported": errno.EPROTONOSUPPORT,
    "Connection refused": errno.ECONNREFUSED,
    "timed out": errno.ETIMEDOUT,
    "No route to host": errno.EHOSTUNREACH,
    "an incorrect mount option": errno.EINVAL,
    "Invalid argument": errno.EINVAL,
    "wrong fs type": errno.EINVAL,
    "unsupported option": errno.EINVAL,
    "multiple version options": errno.EINVAL,
    "Failed to find": errno.EINVAL,
    "File name too long": errno.ENAMETOOLONG,
    "is not a directory": errno.ENOTDIR,
    "bad usage": errno.EINVAL,
    "mount system call failed": errno.EINVAL,
    "Device or resource busy": errno.EBUSY,
}
"""The meaning of the messages of mount(8) and its helpers; their exit status is always 32."""


class MountFailed(OSError):
    """mount(8) failed: `strerror` is its message, `errno` the meaning of the message, EIO if unknown."""


def mount(kind: str, source: str, target: str, options: str, mounts: KernelMounts) -> None:
    """Mount a file system, or raise `MountFailed`."""
    argv = ["mount", "-t", kind, *(["-o", options] if options else []), "--", source, target]
    if kind == "none":  # -t none would call a helper instead of making a bind
        del argv[1:3]
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    except FileNotFoundError:
        raise MountFailed(errno.ENOENT, "this system has no mount(8)", target) from None
    if done.returncode == 0:
        if not mounts.is_mountpoint(target):  # with nofail, mount(8) succeeds all the same
            raise MountFailed(errno.ENOENT, f"mount(8) mounted nothing (options {redact(options)})", target)
        return
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = next((line for line in lines if "dmesg" not in line), f"mount exited {done.returncode}").rstrip(".")
    said = redact(said)  # the message may repeat an option, with its secret
    code = next((code for text, code in ERRNOS.items() if text in done.stderr), errno.EIO)
    if kind in {"nfs", "nfs4"} and "helper program" in done.stderr:
        code, said = errno.ENOPKG, f"this system has no mount.{kind}"
    elif "statd" in done.stderr:
        said = "NFSv3 locks need rpc.statd, which does not run on this host: start it, or add nolock to the options"
    elif options:
        said += f" (options {redact(options)})"
    raise MountFailed(
        code, said.removeprefix(f"mount.{kind}: ").removeprefix("mount: ").removeprefix(f"{target}: "), target
    )


def unmount(target: str, flags: int = 0) -> bool:
    """Unmount the last mount at a path; return False if there is none. Raises OSError."""
    # umount(8) would first look at the directory, and hang on a dead server; the system call does not.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(target), flags | UMOUNT_NOFOLLOW) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.EINVAL, errno.ENOENT}:
        return False
    raise OSError(code, os.strerror(code), target)
