"""The state of systemd units."""

import os

from pyvol.host.processes import run

PATIENCE_S = 20.0


def runs() -> bool:
    """Return whether systemd is the init of this host, see sd_booted(3)."""
    return os.path.isdir("/run/systemd/system") and run.has("systemctl")


def enablement(unit: str) -> str:
    """Return what `systemctl is-enabled` prints for a unit, such as ``enabled``.

    Empty if there is no such unit.

    Raises:
        OSError: systemctl cannot be started, or did not end in time.
    """
    return _ask("is-enabled", unit)


def activity(unit: str) -> str:
    """Return what `systemctl is-active` prints for a unit, such as ``active`` or ``failed``.

    Raises:
        OSError: systemctl cannot be started, or did not end in time.
    """
    return _ask("is-active", unit)


def _ask(verb: str, unit: str) -> str:
    return run.run(["systemctl", verb, unit], PATIENCE_S).output.decode().strip()
