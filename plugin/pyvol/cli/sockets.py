"""Which socket the commands talk to, where none is named."""

import socket
from pathlib import Path

from pyvol.core.errors import BadSetting
from pyvol.settings import DEFAULT_SOCKET

PLUGIN_ID = "[0-9a-f]" * 64
CONNECT_TIMEOUT_S = 5


def find_socket(named: str | None, default: Path = DEFAULT_SOCKET) -> Path:
    """Return the socket that is named, else the host's daemon's, else the managed plugin's.

    Raises:
        BadSetting: several managed plugins answer.
    """
    if named:
        return Path(named)
    if _answers(default):
        return default
    managed = [path for path in sorted(default.parent.glob(f"{PLUGIN_ID}/{default.name}")) if _answers(path)]
    if len(managed) > 1:
        raise BadSetting(f"several managed plugins answer: name one with --socket ({', '.join(map(str, managed))})")
    return managed[0] if managed else default


def plugin_id(path: Path) -> str | None:
    """Return the id of the managed plugin whose socket this is; None for the host's daemon's."""
    return path.parent.name if path.parent.match(PLUGIN_ID) else None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
