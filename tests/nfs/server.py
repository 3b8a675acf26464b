"""The guest's NFS server: the kernel's own, in the first network namespace, under three addresses.

`nas.lan` and `nas2.lan` are one server to the kernel and two to a client: one can be dead while the other lives.
"""

import shutil
from pathlib import Path

from .run import run

BRIDGE = "br0"
MAC = "02:00:00:00:00:fe"
ADDRESSES = {"nas.lan": "10.99.0.254/24", "nas2.lan": "10.99.0.253/24", "nas6.lan": "fd99::fe/64"}
ROOT = Path("/srv/nas")
"""What clients see as the server's /, so that a path is the same with every version of NFS."""
NFSD = Path("/proc/fs/nfsd")
STATE = Path("/var/lib/nfs")
THREADS = "8"
LEASE_S = 10
"""The shortest that the kernel takes; a dead client's locks are free after it."""

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
    """NFS 3, 4.0, 4.1 and 4.2 over TCP; /export/main lies on a disk, /export/small on a very small one.

    Args:
        keep: whether what lies on the disk stays.
    """

    def __init__(self, *, keep: bool = False) -> None:
        """Bring the network and the server up, once a boot."""
        self._present: set[str] = set()
        self._exported: set[str] = set()
        # A lock is granted at once: these servers have no former clients to wait for.
        run("modprobe", "lockd", "nlm_grace_period=1", "nlm_timeout=3")
        for module in ("nfsd", "nfs", "nfsv3", "nfsv4", "bridge", "veth"):
            run("modprobe", module)
        run("ip", "link", "add", BRIDGE, "address", MAC, "type", "bridge")
        run("ip", "link", "set", BRIDGE, "up")
        # Else the second address would go with the first.
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
        # Only before the first thread runs can they be set.
        (NFSD / "nfsv4gracetime").write_text(str(LEASE_S))
        (NFSD / "nfsv4leasetime").write_text(str(LEASE_S))
        self.start()

    def path(self, export: str) -> Path:
        """Where the server itself has an export's files."""
        return ROOT / "export" / export

    def export(self, name: str) -> None:
        """Export a directory."""
        number = list(EXPORTS).index(name) + 1
        run("exportfs", "-o", f"{EXPORTS[name]},{COMMON},fsid={number}", f"*:/export/{name}")
        self._exported.add(name)

    def unexport(self, name: str) -> None:
        """Take an export back; its clients' handles are stale from here on."""
        run("exportfs", "-u", f"*:/export/{name}")
        run("exportfs", "-f")
        self._exported.remove(name)

    def start(self, *without: str) -> None:
        """Start serving, unless it does, perhaps without some versions of NFS; locks are granted at once."""
        if int((NFSD / "threads").read_text()):
            return
        run("rpc.nfsd", *(f"--no-nfs-version={version}" for version in without), THREADS)
        (NFSD / "v4_end_grace").write_text("Y")

    def stop(self) -> None:
        """Stop serving: a connection is refused."""
        run("rpc.nfsd", "0")

    def restart(self) -> None:
        """Stop and start it as a server does that was rebooted: at first only its former clients get their locks."""
        self.stop()
        run("rpc.nfsd", THREADS)

    def vanish(self, name: str) -> None:
        """Let one of its addresses be nobody's: what is sent there is lost without a word."""
        run("ip", "addr", "del", ADDRESSES[name], "dev", BRIDGE)
        self._present.remove(name)

    def appear(self, name: str) -> None:
        """Take an address, or take it again."""
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

    def hint(self) -> None:
        """Be whole."""
        for name in ADDRESSES.keys() - self._present:
            self.appear(name)
        for name in EXPORTS.keys() - self._exported:
            self.export(name)
        self.start()

    def reset(self) -> None:
        """Be whole, and empty: where each test begins."""
        self.hint()
        self.empty()
