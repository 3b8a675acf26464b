"""Podman in its own namespace, with pyvol as its volume plugin and the recorder between them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .images import BOX
from .namespace import Namespace
from .plugin import Plugin
from .recorder import Recorder
from .releases import SYSTEM_PATH

if TYPE_CHECKING:
    from .calls import Calls

# Every setting that differs from the machine's Podman: no systemd, no journal, no network.
CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]
netns = "none"
cgroups = "enabled"

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
conmon_env_vars = ["PATH={path}"]

[engine.volume_plugins]
pyvol = "{socket}"
"""


class PodmanMachine:
    """The machine that a test uses: `podman` runs the engine, `plugin` is pyvol, `recorder` has the calls."""

    def __init__(self) -> None:
        """Open the namespace; Podman has no daemon."""
        self.namespace = Namespace()
        self.plugin = Plugin(self.namespace)
        self.recorder = Recorder(self.namespace.plugins / "pyvol.sock", self.plugin.socket)

    def start(self, image_root: bytes) -> None:
        """Start pyvol, and give Podman its configuration and an image."""
        self.namespace.open()
        directory = self.namespace.directory
        configuration = CONTAINERS_CONF.format(path=SYSTEM_PATH, socket=self.recorder.front)
        (directory / "containers.conf").write_text(configuration)
        (directory / "root.tar").write_bytes(image_root)
        self.plugin.start()
        self.recorder.open()
        self.engine = "podman-" + self.podman("version", "--format", "{{.Client.Version}}").rpartition(".")[0]
        self.podman("import", str(directory / "root.tar"), BOX)

    def close(self) -> None:
        """End everything."""
        self.recorder.close()
        self.namespace.close()
        self.plugin.kill()

    def podman(self, *words: str) -> str:
        """Run a podman command that must succeed, and return what it printed."""
        code, output, error = self.try_podman(*words)
        if code:
            raise AssertionError(f"podman {' '.join(words)}: {code}\n{output}{error}")
        return output

    def try_podman(self, *words: str) -> tuple[int, str, str]:
        """Run a podman command; return its exit code, output and error."""
        directory = self.namespace.directory
        storage = ["--root", str(directory / "data" / "podman"), "--runroot", "/run/podman", "--tmpdir", "/run/libpod"]
        environment = {
            "PATH": SYSTEM_PATH,
            "HOME": str(directory),
            "CONTAINERS_CONF": str(directory / "containers.conf"),
        }
        done = self.namespace.run(["podman", *storage, "--storage-driver", "overlay", *words], env=environment)
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    def run(self, *words: str, script: str = "true") -> str:
        """Run a container until it ends."""
        return self.podman("run", "--rm", *self.apart(), *words, BOX, "sh", "-c", script)

    def launch(self, name: str, *words: str) -> None:
        """Start a container that runs until it gets a signal."""
        script = "trap 'exit 0' TERM; sleep 600 & wait $!"
        self.podman("run", "--detach", "--name", name, *self.apart(), *words, BOX, "sh", "-c", script)

    def apart(self) -> list[str]:
        """Return the options that keep a container's files within this machine."""
        return ["--network", "none", "--cgroup-parent", self.namespace.cgroup]

    def inspect_volume(self, volume: str) -> dict[str, Any]:
        """Return the output of `podman volume inspect`."""
        inspected: list[dict[str, Any]] = json.loads(self.podman("volume", "inspect", volume))
        return inspected[0]

    def calls(self) -> Calls:
        """Return the calls since the start of the test."""
        return self.recorder.calls()

    def reset(self) -> None:
        """Remove all containers and volumes, and forget the calls."""
        self.podman("rm", "--all", "--force", "--time", "0")
        self.podman("volume", "rm", "--all", "--force")
        self.plugin.post("v1/trash/empty?wait=20", {"kept_too": True})
        self.recorder.forget()
