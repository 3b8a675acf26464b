"""Small hosts: each has its own network, name, mounts and NFS client, all in one guest."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .run import PATIENCE_S, run
from .server import ADDRESSES, BRIDGE, MAC

# A separate /run: each host has an rpcbind and a statd, for the locks of NFS 3. A separate /sys shows the
# host's own NFS client, which needs a unique identifier: a server takes all clients with one identifier for
# one client.
SET_UP = """
set -e
mac=$0
hostname "$1"
ip link set lo up
ip link set eth0 up
ip addr add "10.99.0.$2/24" dev eth0
ip addr add "fd99::$2/64" dev eth0 nodad
mount -t sysfs sys /sys
echo "client-of-$1" > /sys/fs/nfs/net/nfs_client/identifier
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/rpc_pipefs /run/lock
mount -t rpc_pipefs rpc_pipefs /run/rpc_pipefs
mount -t tmpfs tmpfs /var/lib/nfs
mkdir /var/lib/nfs/sm /var/lib/nfs/sm.bak
touch /var/lib/nfs/state
rpcbind -w
shift 2
# With permanent entries for the server's address, a dead server is silent: no failing ARP request reports it.
for address; do
    ip neigh replace "$address" lladdr "$mac" nud permanent dev eth0
done
"""


class Host:
    """One host on the guest's network.

    Args:
        name: the host name.
        number: the last part of its address, unique among the hosts.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self._link = f"v{number}"
        self._plugged = True
        self.launched: list[subprocess.Popen[bytes]] = []
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--uts", "--mount", "--propagation", "private", "sleep", "infinity"]
        )
        while Path(f"/proc/{self._holder.pid}/comm").read_text() != "sleep\n":
            assert self._holder.poll() is None, "no namespaces to be had"
        peer = ("peer", "name", "eth0", "netns", str(self._holder.pid))
        run("ip", "link", "add", self._link, "type", "veth", *peer)
        run("ip", "link", "set", self._link, "master", BRIDGE, "up")
        servers = [address.split("/")[0] for address in ADDRESSES.values()]
        self.run("sh", "-c", SET_UP, MAC, name, str(number), *servers)
        self._permanent = {self._holder.pid, *self.processes()}

    def enter(self) -> list[str]:
        """Return the command line that runs a command on this host."""
        return ["nsenter", f"--target={self._holder.pid}", "--net", "--uts", "--mount", "--"]

    def see(self, path: Path) -> Path:
        """Return the path at which a file of the host is visible outside the host."""
        return Path(f"/proc/{self._holder.pid}/root", path.relative_to("/"))

    def run(self, *argv: str | Path, timeout_s: float = PATIENCE_S) -> str:
        """Run a command that must succeed, and return its output."""
        return run(*self.enter(), *argv, timeout_s=timeout_s)

    def launch(self, *argv: str | Path) -> subprocess.Popen[str]:
        """Start a command with its output in a pipe."""
        return subprocess.Popen([*self.enter(), *map(str, argv)], stdout=subprocess.PIPE, text=True)

    def cut(self) -> None:
        """Disconnect the network cable."""
        run("ip", "link", "set", self._link, "down")
        self._plugged = False

    def plug(self) -> None:
        """Connect the network cable again."""
        if not self._plugged:
            run("ip", "link", "set", self._link, "up")
            self._plugged = True

    @contextlib.contextmanager
    def losing_mounts(self) -> Iterator[None]:
        """Drop packets from privileged ports, which the kernel's mounts use; pyvol's probes still work."""
        port = ["OUTPUT", "--protocol", "tcp", "--source-port", "1:1023", "--destination-port", "2049"]
        rule = [*port, "--jump", "REJECT", "--reject-with", "tcp-reset"]
        self.run("iptables-legacy", "--insert", *rule)
        yield
        self.run("iptables-legacy", "--delete", *rule)

    def mountinfo(self) -> str:
        """Return all mounts of the host."""
        return Path(f"/proc/{self._holder.pid}/mountinfo").read_text()

    def mounts(self) -> list[str]:
        """Return the host's NFS mounts as lines of mountinfo."""
        lines = self.mountinfo().splitlines()
        return [line for line in lines if line.partition(" - ")[2].split()[0] in {"nfs", "nfs4"}]

    def processes(self) -> set[int]:
        """Return the processes that run on the host."""
        own = Path(f"/proc/{self._holder.pid}/ns/uts").readlink()
        found = set()
        for entry in Path("/proc").iterdir():
            # The process may have ended.
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "ns/uts").readlink() == own:
                    found.add(int(entry.name))
        return found

    def clear(self, *keep: int) -> None:
        """End all processes that tests started on the host, except these."""
        self.plug()
        for pid in self.processes() - self._permanent - set(keep):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for child in [child for child in self.launched if child.pid not in keep]:
            child.wait(PATIENCE_S)
            self.launched.remove(child)

    def reset(self) -> None:
        """End all processes that tests started on the host, and unmount everything; the server must be up."""
        self.clear()
        for line in reversed(self.mounts()):
            self.run("umount", "--force", "--lazy", line.split()[4])
