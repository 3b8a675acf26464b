"""A Docker engine on a host of the guest with pyvol as a legacy plugin, for tests of mounts."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from deadline import await_true
from engine.api import Api
from engine.images import BOX, build_root
from engine.releases import find_release

from .hosts import Host
from .run import PATIENCE_S

VERSION = "26"
# The host's new /sys hides the control groups of the guest.
CONTROL_GROUPS = """
set -e
mount -t tmpfs tmpfs /sys/fs/cgroup
for name in cpu cpuacct cpuset memory devices freezer blkio pids net_cls perf_event; do
    grep -q "^$name\t" /proc/cgroups || continue
    mkdir "/sys/fs/cgroup/$name"
    mount -t cgroup -o "$name" cgroup "/sys/fs/cgroup/$name"
done
mkdir "$0/data"
"""


class Engine:
    """One dockerd.

    Args:
        host: the host that it runs on.
        directory: an empty directory.
        disk: the disk for its data; without a disk the data is in memory.
    """

    def __init__(self, host: Host, directory: Path, disk: Path | None = None) -> None:
        self.host = host
        self._directory = directory
        self.release = find_release(VERSION)
        self.api = Api(directory / "docker.sock")
        host.run("sh", "-c", CONTROL_GROUPS, directory)
        data = directory / "data"
        host.run("mount", *(("-t", "tmpfs", "tmpfs") if disk is None else (disk,)), data)
        plugins = directory / "client/cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(self.release.compose)

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": self.release.path, "HOME": str(self._directory), "DOCKER_CONFIG": f"{self._directory}/client"}

    def start(self) -> None:
        """Start the engine, and wait until it answers."""
        command = [
            *self.host.enter(),
            self.release.dockerd,
            *("--data-root", self._directory / "data", "--exec-root", self._directory / "exec"),
            *("--pidfile", self._directory / "pid", "--host", f"unix://{self.api.path}"),
            *("--iptables=false", "--ip-forward=false", "--bridge=none", "--shutdown-timeout=5"),
        ]
        log = self._directory / "dockerd.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(word) for word in command], env=self._environment, stdout=output, stderr=output
            )
        await_true(lambda: self.api.answers() or self._process.poll() is not None, "dockerd")
        assert self._process.poll() is None, log.read_text()[-3000:]

    def stop(self) -> None:
        """Stop the engine as systemd does."""
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def docker(self, *words: str, stdin: bytes = b"", cwd: Path | None = None) -> str:
        """Run the client, which must succeed; return its output."""
        done = subprocess.run(
            [str(self.release.docker), "--host", f"unix://{self.api.path}", *words],
            check=False,
            input=stdin,
            capture_output=True,
            env=self._environment,
            timeout=PATIENCE_S,
            cwd=cwd,
        )
        assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr.decode()}"
        return done.stdout.decode()

    def import_image(self) -> None:
        """Import the only image that the tests use."""
        self.docker("import", "-", BOX, stdin=build_root())

    def mounted(self, driver: str, volumes: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Return one container's mounts of volumes with these options; raise RuntimeError on failure."""
        # Each volume's name is also its path in the container.
        names = {name: f"volume-{number}" for number, name in enumerate(volumes)}
        try:
            for name, options in volumes.items():
                wanted = {"Name": names[name], "Driver": driver, "DriverOpts": dict(options)}
                self.api.call("POST", "/volumes/create", wanted)
            lines = self._see([f"{name}:/{name}:nocopy" for name in names.values()])
        finally:
            self.api.remove_everything()
        return {name: lines[f"/{names[name]}"] for name in volumes}

    def run(self, *binds: str) -> str:
        """Start a container with these volumes, and return its id; raise RuntimeError on failure."""
        host_config = {"Binds": [bind if ":" in bind else f"{bind}:/{bind}" for bind in binds], "NetworkMode": "none"}
        wanted = {"Image": BOX, "Cmd": ["sleep", "600"], "HostConfig": host_config}
        container = str(self.api.call("POST", "/containers/create", wanted)["Id"])
        self.api.call("POST", f"/containers/{container}/start")
        return container

    def _see(self, binds: list[str]) -> dict[str, str]:
        """Start a container and return the lines of its mountinfo by mountpoint."""
        pid = self.api.call("GET", f"/containers/{self.run(*binds)}/json")["State"]["Pid"]
        lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        return {line.split()[4]: line for line in lines}
