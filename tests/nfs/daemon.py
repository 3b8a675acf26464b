"""pyvol on a host of the guest, and containers that use its volumes, without an engine."""

import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from deadline import await_true
from guest.plugin_api import PluginApi, Refused
from served import Served

from .hosts import Host
from .run import PATIENCE_S, run


class Container:
    """A stand-in for a container: a mount namespace with a bind of a volume at /mnt."""

    def __init__(self, host: Host, mountpoint: Path) -> None:
        script = f"mount --rbind {mountpoint} /mnt && exec sleep infinity"
        unshare = ["unshare", "--mount", "--propagation", "private"]
        self._process = subprocess.Popen([*host.enter(), *unshare, "sh", "-c", script])
        self._host = host
        host.launched.append(self._process)
        await_true(lambda: self._command() == "sleep" or self._process.poll() is not None, "a container")
        assert self._process.poll() is None, "the container did not start"

    def _command(self) -> str:
        return Path(f"/proc/{self._process.pid}/comm").read_text().strip()

    def command(self, script: str) -> list[str]:
        """Return the command line that runs a script in the container."""
        return ["nsenter", f"--target={self._process.pid}", "--net", "--uts", "--mount", "sh", "-c", script]

    def run(self, script: str, timeout_s: float = PATIENCE_S) -> str:
        """Run a script in the container that must succeed, and return its output."""
        return run(*self.command(script), timeout_s=timeout_s)

    def launch(self, script: str) -> subprocess.Popen[bytes]:
        """Start a script in the container."""
        launched = subprocess.Popen(self.command(script), stdin=subprocess.DEVNULL)
        self._host.launched.append(launched)
        return launched

    def mount(self) -> str:
        """Return the mountinfo line of the volume's mount in the container."""
        lines = Path(f"/proc/{self._process.pid}/mountinfo").read_text().splitlines()
        return next(line for line in lines if line.split()[4] == "/mnt")

    def end(self) -> None:
        """End the container."""
        self._process.kill()
        self._process.wait()


class Daemon(Served):
    """A daemon on a host, and the requests that an engine sends it.

    Args:
        host: the host that it runs on.
        root: an empty directory.
        settings: as for `Served`.
    """

    def __init__(self, host: Host, root: Path, **settings: str) -> None:
        super().__init__(root, **{"SOCKET": str(root / "p.sock"), **settings})
        self.host = host
        self.prefix = host.enter()
        # A socket in the host's own /run is reached through the host's root directory.
        self.socket = host.see(Path(self.environment["PYVOL_SOCKET"]))
        self.wire = PluginApi(self.socket)

    def configure(self, text: str) -> None:
        """Write the daemon's settings file."""
        file = self.log.with_name("pyvol.toml")
        file.write_text(text)
        self._settings["PYVOL_CONFIG"] = str(file)

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it; a reset of its host ends it."""
        self.host.launched.append(super().launch())
        assert self.process is not None
        return self.process

    def create(self, name: str, **options: str) -> None:
        """Create a volume."""
        self.wire.call("Create", Name=name, Opts=options)

    def use(self, name: str, **options: str) -> Path:
        """Create a volume and mount it, as `docker run` does with a volume of a Compose file."""
        self.create(name, **options)
        return self.mount(name)

    def mount(self, name: str, mount_id: str = "x") -> Path:
        """Mount a volume, and return its mountpoint."""
        return Path(self.wire.call("Mount", Name=name, ID=mount_id)["Mountpoint"])

    def can_mount(self, name: str) -> bool:
        """Return whether a volume can be mounted; unmount it again."""
        try:
            self.mount(name, "again")
        except Refused:
            return False
        self.unmount(name, "again")
        return True

    def unmount(self, name: str, mount_id: str = "x") -> None:
        """Unmount a volume."""
        self.wire.call("Unmount", Name=name, ID=mount_id)

    def remove(self, name: str) -> None:
        """Remove a volume."""
        self.wire.call("Remove", Name=name)

    def get(self, name: str) -> dict[str, Any]:
        """Return the answer of Get for a volume."""
        found: dict[str, Any] = self.wire.call("Get", Name=name)["Volume"]
        return found

    def names(self) -> set[str]:
        """Return the names in the answer of List."""
        return {volume["Name"] for volume in self.wire.call("List")["Volumes"]}

    def container(self, name: str, mount_id: str = "x") -> Container:
        """Mount a volume and start a container on it."""
        return Container(self.host, self.mount(name, mount_id))

    def release_all(self) -> None:
        """End all containers and release all claims; start the daemon if it does not run."""
        assert self.process is not None
        self.host.clear(*descendants(self.process.pid))
        if self.process.poll() is not None:
            self.start()
        for claim in self.wire.get("/v1/claims")["claims"]:
            for _ in range(claim["count"] if claim["mount_id"] else 0):  # claims of other hosts have none
                self.unmount(claim["volume"], claim["mount_id"])

    def empty(self) -> None:
        """Remove all volumes, also those in the trash."""
        # After a server was silent the kernel needs some time to find it again.
        await_true(self._removes_all, f"{self.names()} to be removed", 2 * PATIENCE_S)
        self.wire.post("/v1/trash/empty?wait=20", names=[], kept_too=True)

    def _removes_all(self) -> bool:
        for name in self.names():
            with suppress(Refused):  # for example because its server has just come back
                self.remove(name)
        return not self.names()

    def end(self) -> None:
        """Kill the daemon, unless it has ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(PATIENCE_S)

    def threads(self) -> int:
        """Return the number of the daemon's threads."""
        assert self.process is not None
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))


def descendants(pid: int) -> set[int]:
    """Return a process and its descendants, without those whose parents have ended."""
    found = {pid}
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found |= descendants(int(child))
    return found
