"""What systemd, where it runs, says of its units."""

import os
import shutil
import subprocess

TIMEOUT_S = 20


def runs() -> bool:
    """Tell whether systemd is this host's init, see sd_booted(3)."""
    return os.path.isdir("/run/systemd/system") and shutil.which("systemctl") is not None


def enablement(unit: str) -> str:
    """Return what `systemctl is-enabled` calls a unit, such as ``enabled``; empty when there is none of that name.

    Raises:
        OSError: systemd does not answer.
    """
    try:
        asked = subprocess.run(
            ["systemctl", "is-enabled", unit],  # noqa: S607  # an administrator's PATH has it
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(0, f"systemd has not answered for {TIMEOUT_S} s", unit) from error
    return asked.stdout.strip()
