"""Make a chosen fsync of a running pyvol fail with EIO, by orders that `fsync_shim.c` reads at each call."""

import mmap
import struct
from pathlib import Path

from guest.shim import build_shim

LAYOUT = struct.Struct("=IIiI4096s")
"""`struct orders` of the shim."""


class FsyncFault:
    """Orders for one daemon: which of its fsyncs fail."""

    def __init__(self, orders: Path, below: Path) -> None:
        """Store the file of the orders, which apply to files below a path."""
        self._path = orders
        self._below = bytes(below)
        orders.write_bytes(bytes(LAYOUT.size))
        with orders.open("r+b") as file:
            self._orders = mmap.mmap(file.fileno(), LAYOUT.size)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables for the daemon's start."""
        return {"LD_PRELOAD": str(build_shim("fsync_shim", Path(__file__).parent)), "FSYNC_ORDERS": str(self._path)}

    def arm(self, skip: int, *, lasting: bool) -> None:
        """Let `skip` fsyncs succeed, then let one fail, or that one and all after it."""
        LAYOUT.pack_into(self._orders, 0, 1, lasting, skip, 0, self._below)

    def disarm(self) -> int:
        """Let all fsyncs succeed again; return how many have failed."""
        failed: int = LAYOUT.unpack_from(self._orders)[3]
        LAYOUT.pack_into(self._orders, 0, 0, 0, 0, 0, b"")
        return failed
