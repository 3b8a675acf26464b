"""What identifies this host and this boot of it, and how long that has been."""

import socket
import time
from pathlib import Path


def boot_id() -> str:
    """Return the kernel's id of this boot, see random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def host_name() -> str:
    """Return this host's name, for people."""
    return socket.gethostname()


def since_boot_s() -> float:
    """Return the seconds since the boot, those of a suspended host too; nobody can set this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
