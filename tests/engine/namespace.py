"""A small machine: a mount and a pid namespace in which an engine and pyvol run, and with which they end.

Every engine of a machine reads /run/docker/plugins, so each engine here gets its own /run. The first process
of the pid namespace only keeps the namespace open. When it dies, the kernel kills all processes inside
(engines, containers, pyvol), and the mounts go with the last process, however the test run ended.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deadline import await_true

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# SIGCHLD is ignored so that the kernel itself reaps the orphans of the namespace. To the next dockerd, a
# containerd that stays a zombie looks alive. /etc/docker is covered if it exists: the tests must not use the
# machine's settings and plugin specs.
HOLD = """
set -e
mount --make-rshared /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/docker/plugins /run/lock "$1/data" "$1/plugins"
mount --bind "$1/plugins" /run/docker/plugins
mount -t tmpfs -o mode=711 tmpfs "$1/data"
for own in /etc/docker /usr/lib/docker; do
  [ ! -d "$own" ] || mount -t tmpfs tmpfs "$own"
done
touch "$1/held"
exec env --ignore-signal=CHLD sleep infinity
"""
CGROUPS = Path("/sys/fs/cgroup")
PREFIX = "pyvol-engine-"


class Resident:
    """A process inside a namespace, managed from outside."""

    def __init__(self, entry: subprocess.Popen[bytes]) -> None:
        """Store the nsenter process, which is the resident's parent and waits for it."""
        self._entry = entry
        self._pid = 0
        await_true(lambda: self._find_pid() or not self.alive, "a process to start in the namespace")

    def _find_pid(self) -> int:
        with suppress(OSError):
            children = Path(f"/proc/{self._entry.pid}/task/{self._entry.pid}/children").read_text().split()
            self._pid = int(children[0]) if children else 0
        return self._pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._entry.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal, unless it has ended."""
        if self.alive and self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def kill(self) -> None:
        """Kill the process and collect its exit status."""
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self, timeout_s: float = 60) -> int:
        """Wait until the process ends, and return its exit status, negative for a signal."""
        return self._entry.wait(timeout_s)


def remove_cgroups(name: str) -> bool:
    """Remove the empty control groups below a parent, and return whether all are gone."""
    for top in [*CGROUPS.glob(name), *CGROUPS.glob(f"*/{name}")]:
        for group, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(group).rmdir()
    return not [*CGROUPS.glob(name), *CGROUPS.glob(f"*/{name}")]


def purge() -> None:
    """Remove the remains of killed runs: no process holds the locks in their directories any more."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        with suppress(OSError), lock.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_cgroups(lock.parent.name)
            shutil.rmtree(lock.parent, ignore_errors=True)


class Namespace:
    """The namespaces, and their one directory on the disk."""

    def __init__(self, *, own_network: bool = False) -> None:
        """Create the directory, with a short path because a socket's path has at most 108 bytes."""
        purge()
        self._own_network = own_network
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.directory.chmod(0o711)
        # Locked before the lock file has its name, so that no other run's purge finds the directory unlocked.
        self._lock = (self.directory / "unlocked").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.directory / "unlocked").rename(self.directory / "lock")
        self._holder: subprocess.Popen[bytes] | None = None

    @property
    def cgroup(self) -> str:
        """The parent of all control groups of this namespace."""
        return f"/{self.directory.name}"

    @property
    def plugins(self) -> Path:
        """The directory that is /run/docker/plugins inside the namespace."""
        return self.directory / "plugins"

    def open(self) -> None:
        """Start the holder process; it dies with this process, and everything inside dies with it."""
        unshare = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child=SIGKILL",
            "--propagation",
            "private",
            *(["--net"] if self._own_network else []),
        ]
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *unshare, "sh", "-c", HOLD, "hold", str(self.directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        held = self.directory / "held"
        await_true(lambda: held.exists() or self._ended(), "the private namespaces")
        if self._ended():
            raise RuntimeError("no private namespaces to be had: these tests need root")

    def _ended(self) -> bool:
        return self._holder is None or self._holder.poll() is not None

    @property
    def holder(self) -> str:
        """The pid of the process whose namespaces these are."""
        if self._holder is None:
            raise RuntimeError("the namespace is not open")
        return str(self._holder.pid)

    def _enter(self) -> list[str]:
        own = f"/proc/{self.holder}/ns"
        network = [f"--net={own}/net"] if self._own_network else []
        return ["nsenter", f"--mount={own}/mnt", f"--pid={own}/pid_for_children", *network, "--"]

    def spawn(self, command: Sequence[str], *, log: Path, env: Mapping[str, str]) -> Resident:
        """Start a process inside the namespace, and append its output to the log."""
        with log.open("ab") as output:
            return Resident(
                subprocess.Popen(
                    [*self._enter(), *command],
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str], timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the namespace and return its result."""
        return subprocess.run(
            [*self._enter(), *command],
            check=False,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def close(self) -> None:
        """End everything inside, and remove the directory and the control groups."""
        if self._holder is not None:
            self._holder.send_signal(signal.SIGKILL)
            self._holder.wait(60)
        # After the holder dies the kernel still has to kill the rest: the control groups are empty a moment
        # later.
        with suppress(TimeoutError):
            await_true(lambda: remove_cgroups(self.directory.name), "the control groups to empty", timeout_s=20)
        shutil.rmtree(self.directory, ignore_errors=True)
        self._lock.close()
