"""Runs in a guest, once per boot: uses volumes on NFS before a power cut, and checks them after it.

Usage: python -m nfs.rebooted before|after, in a guest with the server's disk and pyvol's disk.
"""

import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from deadline import await_true
from guest.wire import Refused

from .daemon import Daemon
from .hosts import Host
from .run import run
from .server import NfsServer

POOL = '[pools.nas]\nkind = "nfs"\nexport = "nas.lan:/export/main"\n'
OWN = Path("/srv/pyvol")
VOLUMES = {
    "shared": {"pool": "nas"},
    "exclusive": {"pool": "nas", "access": "exclusive"},
    "plain": {"type": "nfs", "device": ":/export/main/data", "o": "addr=nas.lan"},
    "local": {},
}


def use(pyvol: Daemon) -> None:
    """Start a container that writes to each volume."""
    for name, options in VOLUMES.items():
        pyvol.create(name, **options)
        pyvol.container(name).run(f"echo {name} >/mnt/file && sync /mnt/file")


def is_mounted(pyvol: Daemon, name: str) -> bool:
    """Mount a volume; return whether that worked."""
    with contextlib.suppress(Refused):
        pyvol.mount(name, "try")
        return True
    return False


def check(pyvol: Daemon, theirs: Daemon) -> None:
    """Check that no claim, mount or lock is left, and that all volumes exist and can be used."""
    assert pyvol.names() == VOLUMES.keys(), pyvol.names()
    assert pyvol.wire.get("/v1/claims")["claims"] == []
    assert "claims of an earlier boot dropped" in pyvol.log.read_text()
    await_true(lambda: "exclusive" in theirs.names(), "another host to know the pool's volumes")
    assert theirs.wire.get("/v1/claims")["claims"] == []
    await_true(lambda: is_mounted(theirs, "exclusive"), "the volume to be free for another host")
    assert not is_mounted(pyvol, "exclusive")
    theirs.unmount("exclusive", "try")
    for name in VOLUMES:
        assert pyvol.container(name).run("cat /mnt/file") == f"{name}\n"
    assert len(pyvol.host.mounts()) == 2, pyvol.host.mounts()  # the pool and the plain export
    assert not is_mounted(theirs, "exclusive")


def start(host: Host, root: Path) -> Daemon:
    """Start pyvol with the pool."""
    pyvol = Daemon(host, root)
    pyvol.configure(POOL)
    pyvol.start()
    return pyvol


def main() -> None:
    """Run one of the two parts."""
    OWN.mkdir()
    run("mount", "/dev/ubdb", OWN)
    is_again = sys.argv[1] == "after"
    NfsServer(keep=is_again)
    pyvol = start(Host("one", 1), OWN)
    if is_again:
        check(pyvol, start(Host("two", 2), Path(tempfile.mkdtemp(dir="/srv"))))
        sys.stdout.write("all is right\n")
    else:
        use(pyvol)
        sys.stdout.write("in use\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
