"""The guest's NFS server: the kernel's own, in the first network namespace, with three addresses.

To the kernel `nas.lan` and `nas2.lan` are one server, to a client they are two: one can be dead while the
other works.
"""

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

from deadline import await_true

from .run import run

BRIDGE = "br0"
MAC = "02:00:00:00:00:fe"
ADDRESSES = {"nas.lan": "10.99.0.254/24", "nas2.lan": "10.99.0.253/24", "nas6.lan": "fd99::fe/64"}
ROOT = Path("/srv/nas")
"""The directory that clients see as the server's root, so that paths are the same in all versions of NFS."""
NFSD = Path("/proc/fs/nfsd")
STATE = Path("/var/lib/nfs")
THREADS = "8"
LEASE_S = 10
"""The shortest lease that the kernel accepts; after it, a dead client's locks are free."""

COMMON = "no_subtree_check,sync"
EXPORTS = {
    "main": "rw,no_root_squash",
    "second": "rw,no_root_squash",
    "squashed": "rw,root_squash",
    "readonly": "ro,no_root_squash",
    "small": "rw,no_root_squash",
}
SMALL_MIB = 4


class NfsServer:
    """NFS 3, 4.0, 4.1 and 4.2 over TCP; /export/main is on a disk, /export/small on a very small one.

    Args:
        keep: whether the contents of the disk are kept.
    """

    def __init__(self, *, keep: bool = False) -> None:
        """Start network and server, once per boot."""
        self._present: set[str] = set()
        self._exported: set[str] = set()
        # No grace period: these servers have no earlier clients to wait for, so locks are granted at once.
        run("modprobe", "lockd", "nlm_grace_period=1", "nlm_timeout=3")
        for module in ("nfsd", "nfs", "nfsv3", "nfsv4", "bridge", "veth"):
            run("modprobe", module)
        run("ip", "link", "add", BRIDGE, "address", MAC, "type", "bridge")
        run("ip", "link", "set", BRIDGE, "up")
        # Without this setting the second address would be removed with the first one.
        Path(f"/proc/sys/net/ipv4/conf/{BRIDGE}/promote_secondaries").write_text("1")
        Path("/etc/nsswitch.conf").write_text("hosts: files\n")
        with Path("/etc/hosts").open("a") as hosts:
            for name, address in ADDRESSES.items():
                hosts.write(f"{address.split('/')[0]} {name}\n")
                self.appear(name)
        self._lay_out()
        if not keep:
            self.empty()
        self._serve()

    def _lay_out(self) -> None:
        ROOT.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "tmpfs", ROOT)
        for name in EXPORTS:
            self.path(name).mkdir(parents=True)
        run("mount", "/dev/ubda", self.path("main"))
        run("mount", "-t", "tmpfs", "-o", f"size={SMALL_MIB}m", "tmpfs", self.path("small"))

    def _serve(self) -> None:
        run("mount", "-t", "nfsd", "nfsd", NFSD)
        run("mount", "-t", "tmpfs", "tmpfs", STATE)
        for directory in ("sm", "sm.bak", "v4recovery"):
            (STATE / directory).mkdir()
        for file in ("etab", "rmtab", "state"):
            (STATE / file).touch()
        Path("/run/rpc_pipefs").mkdir()
        run("mount", "-t", "rpc_pipefs", "rpc_pipefs", "/run/rpc_pipefs")
        Path("/etc/nfs.conf").write_text(f"[exports]\nrootdir={ROOT}\n")
        run("rpcbind", "-w")
        run("rpc.statd")
        for name in EXPORTS:
            self.export(name)
        run("rpc.mountd")
        # They can be set only before the first thread runs.
        (NFSD / "nfsv4gracetime").write_text(str(LEASE_S))
        (NFSD / "nfsv4leasetime").write_text(str(LEASE_S))
        self.start()

    def path(self, export: str) -> Path:
        """Return the path of an export's files on the server."""
        return ROOT / "export" / export

    def export(self, name: str) -> None:
        """Export a directory."""
        number = list(EXPORTS).index(name) + 1
        run("exportfs", "-o", f"{EXPORTS[name]},{COMMON},fsid={number}", f"*:/export/{name}")
        self._exported.add(name)

    def unexport(self, name: str) -> None:
        """Remove an export; its clients' handles become stale."""
        run("exportfs", "-u", f"*:/export/{name}")
        run("exportfs", "-f")
        self._exported.remove(name)

    def start(self, *without: str) -> None:
        """Start the server, unless it runs, possibly without some versions; locks are granted at once."""
        if int((NFSD / "threads").read_text()):
            return
        await_true(lambda: self._try_to_start(without), "the server to start")

    def _try_to_start(self, without: Sequence[str]) -> bool:
        """Start the server and end its grace period; return whether it runs.

        The last thread of an earlier server may still be ending. It takes the new server with it.
        """
        run("rpc.nfsd", *(f"--no-nfs-version={version}" for version in without), THREADS)
        try:
            (NFSD / "v4_end_grace").write_text("Y")
        except OSError as error:
            if error.errno != errno.EBUSY:  # no server runs
                raise
            return False
        return True

    def stop(self) -> None:
        """Stop the server: connections are refused."""
        run("rpc.nfsd", "0")

    def restart(self) -> None:
        """Restart the server as after a reboot: at first only its earlier clients get their locks."""
        self.stop()
        run("rpc.nfsd", THREADS)

    def vanish(self, name: str) -> None:
        """Remove an address from the server: packets to it are lost silently."""
        run("ip", "addr", "del", ADDRESSES[name], "dev", BRIDGE)
        self._present.remove(name)

    def appear(self, name: str) -> None:
        """Add an address to the server."""
        nodad = ["nodad"] if ":" in ADDRESSES[name] else []
        run("ip", "addr", "add", ADDRESSES[name], "dev", BRIDGE, *nodad)
        self._present.add(name)

    def empty(self) -> None:
        """Delete all files of all exports."""
        for name in EXPORTS:
            for entry in self.path(name).iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
            self.path(name).chmod(0o755)

    def repair(self) -> None:
        """Restore addresses, exports and the running server."""
        for name in ADDRESSES.keys() - self._present:
            self.appear(name)
        for name in EXPORTS.keys() - self._exported:
            self.export(name)
        self.start()

    def reset(self) -> None:
        """Restore the server, and empty its exports, before a test."""
        self.repair()
        self.empty()
