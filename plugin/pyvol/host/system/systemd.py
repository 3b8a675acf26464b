"""What systemd, where it runs, says of its units."""

import os

from pyvol.host.processes import run

PATIENCE_S = 20.0


def runs() -> bool:
    """Tell whether systemd is this host's init, see sd_booted(3)."""
    return os.path.isdir("/run/systemd/system") and run.has("systemctl")


def enablement(unit: str) -> str:
    """Return what `systemctl is-enabled` calls a unit, such as ``enabled``; empty when there is none of that name.

    Raises:
        OSError: systemctl cannot be started, or has not ended in time.
    """
    return run.run(["systemctl", "is-enabled", unit], PATIENCE_S).output.decode().strip()
