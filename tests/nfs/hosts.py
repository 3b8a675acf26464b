"""Hosts in miniature: each has a network, a name, mounts and an NFS client of its own, in one guest."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .run import PATIENCE_S, run
from .server import ADDRESSES, BRIDGE, MAC

# Its own /run: each host has an rpcbind and a statd, for the locks of NFS 3. Its own /sys shows its own NFS client,
# which has to say another name than its neighbours do: a server takes clients of one name for one client.
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
# With the server's hardware address known for good, a dead server is silent: no ARP that fails tells of it.
for address; do
    ip neigh replace "$address" lladdr "$mac" nud permanent dev eth0
done
"""


class Host:
    """One host on the guest's network.

    Args:
        name: what it calls itself.
        number: unique among the hosts, the last part of its address.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self._link = f"v{number}"
        self._plugged = True
        self.children: list[subprocess.Popen[bytes]] = []
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
        """Return the words that run a command on this host."""
        return ["nsenter", f"--target={self._holder.pid}", "--net", "--uts", "--mount", "--"]

    def see(self, path: Path) -> Path:
        """Return where a file of the host's is found from outside of it."""
        return Path(f"/proc/{self._holder.pid}/root", path.relative_to("/"))

    def run(self, *argv: str | Path, timeout_s: float = PATIENCE_S) -> str:
        """Run a command that must succeed, and return its output."""
        return run(*self.enter(), *argv, timeout_s=timeout_s)

    def launch(self, *argv: str | Path) -> subprocess.Popen[str]:
        """Start a command, its output to be read."""
        return subprocess.Popen([*self.enter(), *map(str, argv)], stdout=subprocess.PIPE, text=True)

    def cut(self) -> None:
        """Pull its network cable."""
        run("ip", "link", "set", self._link, "down")
        self._plugged = False

    def plug(self) -> None:
        """Put its network cable back, unless it is in."""
        if not self._plugged:
            run("ip", "link", "set", self._link, "up")
            self._plugged = True

    @contextlib.contextmanager
    def losing_mounts(self) -> Iterator[None]:
        """Break off what its kernel sends for its mounts, from ports that root alone has; probes come through."""
        port = ["OUTPUT", "--protocol", "tcp", "--source-port", "1:1023", "--destination-port", "2049"]
        rule = [*port, "--jump", "REJECT", "--reject-with", "tcp-reset"]
        self.run("iptables-legacy", "--insert", *rule)
        yield
        self.run("iptables-legacy", "--delete", *rule)

    def mountinfo(self) -> str:
        """Return all mounts of the host."""
        return Path(f"/proc/{self._holder.pid}/mountinfo").read_text()

    def mounts(self) -> list[str]:
        """Return its kernel's mounts of NFS, a line of mountinfo each."""
        lines = self.mountinfo().splitlines()
        return [line for line in lines if line.partition(" - ")[2].split()[0] in {"nfs", "nfs4"}]

    def processes(self) -> set[int]:
        """Return the processes that run on it."""
        own = Path(f"/proc/{self._holder.pid}/ns/uts").readlink()
        found = set()
        for entry in Path("/proc").iterdir():
            # It may end meanwhile.
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "ns/uts").readlink() == own:
                    found.add(int(entry.name))
        return found

    def clear(self, *keep: int) -> None:
        """End what tests have started on it, apart from what they go on with."""
        self.plug()
        for pid in self.processes() - self._permanent - set(keep):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for child in [child for child in self.children if child.pid not in keep]:
            child.wait(PATIENCE_S)
            self.children.remove(child)

    def reset(self) -> None:
        """End all that tests have started on it, and take their mounts away; the server has to be up."""
        self.clear()
        for line in reversed(self.mounts()):
            self.run("umount", "--force", "--lazy", line.split()[4])
