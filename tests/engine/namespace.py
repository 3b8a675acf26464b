"""A machine in miniature: a mount and a pid namespace in which an engine and pyvol run, and with which they end.

Every engine of a machine reads /run/docker/plugins, so each one here gets a /run of its own. The first process of the
pid namespace does nothing but hold it: when that one dies, the kernel kills whatever is inside (engines, containers,
pyvol), and with the last process the mounts go too, however the test run ended.
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

# With SIGCHLD ignored the kernel itself reaps the orphans of the namespace. A containerd that stayed a zombie would
# look alive to the next dockerd.
# /etc/docker is covered where it exists: the machine's settings and plugin specs are none of ours.
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
    """A process inside a namespace, seen from outside."""

    def __init__(self, entry: subprocess.Popen[bytes]) -> None:
        """Take the nsenter process, which waits for the resident as its parent."""
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
        """Send it a signal, unless it has ended."""
        if self.alive and self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def kill(self) -> None:
        """Kill it and collect its status."""
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self, timeout_s: float = 60) -> int:
        """Wait for its end and return its exit status, negative for a signal."""
        return self._entry.wait(timeout_s)


def remove_cgroups(name: str) -> bool:
    """Remove the control groups below a parent, as far as they are empty; say whether all are gone."""
    for top in [*CGROUPS.glob(name), *CGROUPS.glob(f"*/{name}")]:
        for group, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(group).rmdir()
    return not [*CGROUPS.glob(name), *CGROUPS.glob(f"*/{name}")]


def purge() -> None:
    """Remove what killed runs have left: nobody holds the locks in their directories any more."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        with suppress(OSError), lock.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_cgroups(lock.parent.name)
            shutil.rmtree(lock.parent, ignore_errors=True)


class Namespace:
    """The namespaces, and the one directory on the disk that belongs to them."""

    def __init__(self, *, own_network: bool = False) -> None:
        """Make the directory: its path is short because socket paths are limited to 108 bytes."""
        purge()
        self._own_network = own_network
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.directory.chmod(0o711)
        # Locked before it has its name, so that no other run's sweep finds it free.
        self._lock = (self.directory / "unlocked").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.directory / "unlocked").rename(self.directory / "lock")
        self._holder: subprocess.Popen[bytes] | None = None

    @property
    def cgroup(self) -> str:
        """The parent of all control groups made in here."""
        return f"/{self.directory.name}"

    @property
    def plugins(self) -> Path:
        """What is /run/docker/plugins inside."""
        return self.directory / "plugins"

    def open(self) -> None:
        """Start the holder; it dies with this process, and everything inside dies with it."""
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
        """The process whose namespaces these are."""
        if self._holder is None:
            raise RuntimeError("the namespace is not open")
        return str(self._holder.pid)

    def _enter(self) -> list[str]:
        own = f"/proc/{self.holder}/ns"
        network = [f"--net={own}/net"] if self._own_network else []
        return ["nsenter", f"--mount={own}/mnt", f"--pid={own}/pid_for_children", *network, "--"]

    def spawn(self, command: Sequence[str], *, log: Path, env: Mapping[str, str]) -> Resident:
        """Start a process inside, its output appended to the log."""
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
        """Run a command inside and wait for it."""
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
        """End everything inside, and leave no directory and no control group behind."""
        if self._holder is not None:
            self._holder.send_signal(signal.SIGKILL)
            self._holder.wait(60)
        # The holder's death and the kernel's killing of the rest are two events: the groups empty a moment later.
        with suppress(TimeoutError):
            await_true(lambda: remove_cgroups(self.directory.name), "the control groups to empty", timeout_s=20)
        shutil.rmtree(self.directory, ignore_errors=True)
        self._lock.close()
