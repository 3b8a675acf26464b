"""Find the sockets of the daemon and of the engine if the user names none."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from pyvol.config.settings import DEFAULT_SOCKET
from pyvol.core.errors import BadSetting
from pyvol.host.mounts.table import KernelMounts

ENGINES = (Path("/var/run/docker.sock"), Path("/proc/1/root/run/docker.sock"))
"""Where Docker listens; the second path is the socket of the host, as the managed plugin sees it."""
PLUGIN_ID = "[0-9a-f]" * 64
CONNECT_TIMEOUT_S = 5


def find_socket(named: str | None, default: Path = DEFAULT_SOCKET) -> Path:
    """Return the named socket, else the one of the daemon on this host, else the one of the managed plugin.

    Raises:
        BadSetting: several managed plugins answer.
    """
    if named:
        return Path(named)
    if _answers(default):
        return default
    try:
        managed = [path for path in sorted(default.parent.glob(f"{PLUGIN_ID}/{default.name}")) if _answers(path)]
    except PermissionError:  # only root may read the directory; the client says so for the default too
        managed = []
    if len(managed) > 1:
        found = ", ".join(map(str, managed))
        raise BadSetting("several managed plugins answer", hint=f"name one with --socket ({found})")
    return managed[0] if managed else default


def find_engine(places: Sequence[Path] = ENGINES) -> Path:
    """Return the first socket of an engine that exists, else the first path."""
    return next((path for path in places if os.path.exists(path)), places[0])  # noqa: PTH110  # False without permission


def plugin_id(path: Path, proc: str = "/proc") -> str | None:
    """Return the id of the managed plugin that listens on a socket; None for the daemon on this host.

    Inside the plugin, the mount table has the id: Docker mounts the directory of the plugin there.
    """
    mounts = KernelMounts(proc).read("self")
    mounted = (Path(mount.root) for mount in reversed(mounts) if mount.mountpoint == str(path.parent))
    return next((place.name for place in (path.parent, *mounted) if place.match(PLUGIN_ID)), None)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
