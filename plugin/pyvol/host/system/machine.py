"""The identity of this host and of its boot, and the time since the boot."""

import socket
import time
from pathlib import Path


def boot_id() -> str:
    """Return the kernel's id of this boot, see random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def host_name() -> str:
    """Return the name of this host, for people."""
    return socket.gethostname()


def since_boot_s() -> float:
    """Return the seconds since the boot, including time in suspend; this clock cannot be set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
