"""Runs in one of two connected guests: sets up the network, the server in one guest, and pyvol with its pool.

Usage: python -m nfs.kernel here|there. The server runs in the guest `here`.
"""

import sys
from pathlib import Path

from served import Served

from .run import run
from .server import ADDRESSES, BRIDGE, NfsServer

OWN = Path("/srv/pyvol")
SOCKET = OWN / "p.sock"
POOL = '[pools.nas]\nkind = "nfs"\nexport = "nas.lan:/export/main"\n'
DEVICE = "vec0"


def join() -> None:
    """Set up a host without a server."""
    run("ip", "addr", "add", "10.99.0.2/24", "dev", DEVICE)
    Path("/etc/nsswitch.conf").write_text("hosts: files\n")
    Path("/etc/hosts").write_text(f"{ADDRESSES['nas.lan'].split('/')[0]} nas.lan\n")
    run("modprobe", "nfsv4")


def main() -> None:
    """Set up this guest, and leave pyvol running."""
    run("hostname", sys.argv[1])  # the server distinguishes its clients by their host names
    if sys.argv[1] == "here":
        NfsServer()
        run("ip", "link", "set", DEVICE, "master", BRIDGE)
    else:
        join()
    run("ip", "link", "set", DEVICE, "up")
    OWN.mkdir()
    settings = OWN / "pyvol.toml"
    settings.write_text(POOL)
    Served(OWN, CONFIG=str(settings)).start()


if __name__ == "__main__":
    main()
