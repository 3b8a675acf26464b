"""The locks on pyvol's directories, and the socket. pyvol listens before it imports the rest of its code.

Docker dials a managed plugin half a second after it was started, and then only every three seconds.
"""

import os
import socket
import stat
import sys
from pathlib import Path

from pyvol.config.settings import Settings
from pyvol.core.errors import BadSetting
from pyvol.core.ports.host import Log
from pyvol.host.files import directories
from pyvol.host.mounts.bind import reaches_host
from pyvol.host.mounts.table import KernelMounts
from pyvol.host.processes import limits

LOCK_NAME = "pyvol.lock"
LOCK_PATIENCE_S = 2.0
"""A daemon that was killed releases its lock within milliseconds; a daemon that runs keeps it."""
BACKLOG = 2048
"""dockerd opens a connection for each of its volumes when it starts (engine fact 28)."""
SOCKET_UMASK = 0o177


def open_listener(settings: Settings, log: Log) -> list[str]:
    """Lock and listen, for this process and its children. Return the addresses in gunicorn's form.

    Raises:
        BadSetting: pyvol cannot start with these settings; it has changed nothing.
    """
    if settings.propagated_mount and not reaches_host(str(settings.propagated_mount), KernelMounts()):
        # A dockerd that starts after a kill may remove the mount propagation that it has just made (decision
        # 8).
        log.warning("Docker cannot see what pyvol mounts: pyvol ends, and Docker starts it again")
        sys.exit(os.EX_TEMPFAIL)
    activated = os.environ.get("LISTEN_PID") == str(os.getpid())
    os.umask(0o077)  # a directory for others, such as a volume's, gets its mode explicitly
    for lock in _claim_directories(settings, log):
        os.set_inheritable(lock, True)  # noqa: FBT003  # os has no keyword for it
    # systemd's socket listens already, and gunicorn finds it.
    return [] if activated else [f"fd://{_listen(settings.socket)}"]


def _claim_directories(settings: Settings, log: Log) -> list[int]:
    """Create and lock pyvol's own directories. Raise `BadSetting` if that fails."""
    own = (("root", settings.root), ("state_dir", settings.state_dir))
    for key, directory in own:  # check both before creating one
        existing = next(path for path in (directory, *directory.parents) if path.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise BadSetting(
                f"setting {key} is invalid",
                f"pyvol may not write to {directory}",
                "run pyvol as root, or choose another directory",
            )
    for key, directory in own:
        try:
            directories.make(str(directory))
        except OSError as error:
            raise BadSetting(
                f"setting {key} is invalid",
                f"{directory} cannot be created: {error.strerror}",
                "choose another directory",
            ) from None
    try:
        locks = [_taken(limits.lock_file(settings.state_dir / LOCK_NAME, LOCK_PATIENCE_S), settings.state_dir)]
    except OSError as error:
        raise BadSetting(
            "setting state_dir is invalid",
            f"{error.filename} cannot be locked: {error.strerror}",
            "choose another directory",
        ) from None
    try:
        # A second daemon with another state would delete what the first is creating, as the rest of a crash.
        locks.append(_taken(limits.lock_directory(settings.root, LOCK_PATIENCE_S), settings.root))
    except OSError as error:  # such as a server's file system
        log.warning("root is not locked: make sure that no other pyvol uses it", root=settings.root, error=str(error))
    return locks


def _taken(lock: int | None, directory: Path) -> int:
    if lock is None:
        raise BadSetting(
            f"another pyvol uses {directory}",
            hint="stop it (pyvol.service and pyvol.socket, or the managed plugin), or start this one with another "
            "--state-dir and --root",
        )
    return lock


def _listen(path: Path) -> int:
    """Listen on a Unix socket for root only. Raise `BadSetting` if a daemon answers on it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        if path.exists():
            if not stat.S_ISSOCK(path.stat().st_mode):
                raise BadSetting(
                    "setting socket is invalid",
                    f"{path} exists and is not a socket",
                    "move it away, or choose another path",
                )
            if _answers(path):
                raise BadSetting(
                    f"another daemon answers on {path}", hint="stop it, or start this one with another --socket"
                )
            path.unlink()  # left by a daemon that was killed
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(SOCKET_UMASK)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
    except OSError as error:
        raise BadSetting(
            "setting socket is invalid", f"{path} cannot be created: {error.strerror}", "choose another path"
        ) from None
    return listener.detach()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True
