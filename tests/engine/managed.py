"""pyvol as the engine's managed plugin, and a machine with such an engine."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from deadline import INTERVAL_S, await_true

from .dialling import Dialler
from .dockerd import Dockerd
from .machine import DRIVER, Machine
from .namespace import Namespace
from .plugin import Plugin
from .recorder import Recorder
from .releases import SYSTEM_PATH

if TYPE_CHECKING:
    import signal
    import socket
    import subprocess
    from collections.abc import Iterator, Sequence

    from .registry import Registry
    from .releases import Release

RESTART_S = 30
"""A crashed plugin is back in a second; an engine stops trying to start a plugin after ten seconds."""
RECORDED = "recorded.sock"
"""The socket that the engine uses as the plugin's socket; pyvol's own socket is in the same directory."""


def pull(reference: str, name: str = DRIVER) -> list[str]:
    """Return the arguments of `docker plugin` that install a plugin from a registry, disabled."""
    return ["install", "--grant-all-permissions", "--disable", "--alias", name, reference]


class ManagedPlugin(Plugin):
    """Starts, ends and calls a managed pyvol; after a kill the engine starts it again, as after a crash."""

    def __init__(self, namespace: Namespace, dockerd: Dockerd, origin: Sequence[str], name: str = DRIVER) -> None:
        """Store the engine, and the arguments of `docker plugin` that install the plugin disabled."""
        super().__init__(namespace)
        self.name = name
        self._dockerd = dockerd
        self._origin = origin
        # A path to the plugin's directory that is short enough for a socket's path.
        self._place = namespace.directory / f"p-{name}"
        self.socket = self._place / f"{DRIVER}.sock"
        self.front = self._place / RECORDED
        self.id = ""
        self._ended = 0
        self._log_start = 0

    def docker(self, *words: str, timeout_s: float = 180) -> str:
        """Run a docker command that must succeed."""
        done = self._dockerd.run(*words, timeout_s=timeout_s)
        if done.returncode:
            raise RuntimeError(f"docker {' '.join(words)}: {done.stderr}\n{self._dockerd.log.read_text()[-3000:]}")
        return done.stdout.strip()

    def install(self) -> None:
        """Install the plugin in the engine, set its directories on this machine, and enable it."""
        self.docker("plugin", *self._origin)
        self.set(*self.default_settings(), *(f"{name}={value}" for name, value in self.settings.items()))
        self.find()  # before it is enabled: the recorder must listen in the plugin's directory by then
        self.docker("plugin", "enable", self.name)
        self.start()

    def default_settings(self) -> list[str]:
        """Return the settings of the installation: directories of this machine, and the log level."""
        self.root.mkdir(exist_ok=True)
        return [f"data.source={self.root}", f"paths.source={tempfile.gettempdir()}", "PYVOL_LOG_LEVEL=debug"]

    def find_and_start(self) -> None:
        """Find the socket of a plugin that the engine has just installed and enabled."""
        self.find()
        self.start()

    def find(self) -> None:
        """Find out where the engine will put the plugin's socket."""
        self.id = self.inspect()["Id"]
        self._place.unlink(missing_ok=True)
        self._place.symlink_to(self._namespace.plugins / self.id)

    def set(self, *settings: str) -> None:
        """Change settings of the disabled plugin."""
        self.docker("plugin", "set", self.name, *settings)

    def inspect(self) -> dict[str, Any]:
        """Return the engine's record of the plugin."""
        inspected: dict[str, Any] = self._dockerd.api.call("GET", f"/plugins/{self.name}/json")
        return inspected

    def remove(self) -> None:
        """Remove the plugin from the engine by force."""
        self.docker("plugin", "rm", "--force", self.name)

    @property
    def alive(self) -> bool:
        """Whether the daemon answers."""
        return self._answers()

    @property
    def pid(self) -> int:
        """The plugin's first process, as numbered in the namespace; 0 if there is none."""
        tasks = "exec/containerd/daemon/io.containerd.runtime.v2.task/plugins.moby"
        try:
            return int((self._namespace.directory / tasks / self.id / "init.pid").read_text())
        except OSError:
            return 0

    def enable(self) -> None:
        """Enable the plugin; if the engine cannot start it, install it again (see docs/managed-plugin.md)."""
        done = self._dockerd.run("plugin", "enable", self.name)
        # The errors of 20.10 and of 26 after a failed start whose remains the engine has not removed.
        if "id already in use" in done.stderr or "file exists" in done.stderr:
            self.remove()
            self.install()
        elif done.returncode:
            raise RuntimeError(done.stderr)
        self.start()

    def disable(self) -> None:
        """Disable the plugin by force."""
        self.docker("plugin", "disable", "--force", self.name)
        self.await_cleared()

    def await_cleared(self) -> None:
        """Wait until the engine has removed the mounts of the ended plugin.

        The engine does this after its answer, as the last step after a plugin's end. If the plugin is started
        earlier, the engine removes the mounts of the new process.
        """
        await_true(lambda: not self.mounts(), "the engine to remove the plugin's mounts")

    def mounts(self) -> list[str]:
        """Return the mount points of the plugin on the host."""
        table = self._namespace.run(["cat", "/proc/self/mountinfo"], env={"PATH": SYSTEM_PATH}).stdout
        places = [line.split(" ")[4] for line in table.splitlines()]
        return [place for place in places if f"/plugins/{self.id}/" in place]

    def start(self) -> None:
        """Wait until the plugin answers; the engine itself starts it.

        An engine tries once to start a plugin that crashed, and never one that crashes again within seconds:
        it leaves the plugin disabled, and docs/managed-plugin.md says what to do then. This method does so if
        pyvol listened, or if the engine did not start pyvol at all.
        """
        if not self._dockerd.alive:
            return
        try:
            await_true(self._is_back, "the managed pyvol to answer", timeout_s=RESTART_S)
        except TimeoutError:
            said = self._logged()
            if self.inspect()["Enabled"] or (said and not any(" listening " in line for line in said)):
                raise RuntimeError("\n".join(["pyvol was started and does not answer:", *said])) from None
            self.enable()
            await_true(self._is_back, "the managed pyvol to answer")

    def _logged(self) -> list[str]:
        """Return the plugin's log lines since it was last ended, from the engine's log."""
        log = self._dockerd.log.read_bytes()[self._log_start :].decode(errors="replace")
        return [line for line in log.splitlines() if f"plugin={self.id}" in line]

    def _is_back(self) -> bool:
        return self.pid != self._ended and self._answers()

    def restart(self, **settings: str) -> None:
        """Restart the plugin with these settings."""
        self.disable()
        defaults = {entry["Name"]: entry["Value"] for entry in self.inspect()["Config"]["Env"]}
        for name in {**self.settings, **settings}:
            self.set(f"{name}={settings.get(name, defaults[name])}")
        self.settings = settings
        self.enable()

    def _end(self, number: signal.Signals) -> None:
        self._ended = self.pid
        self._log_start = self._dockerd.log.stat().st_size
        if self._ended:  # kill(2) takes 0 for every process of the caller's process group
            script = 'kill -"$0" "$1" && while kill -0 "$1"; do sleep 0.01; done'
            self._namespace.run(["sh", "-c", script, str(int(number)), str(self._ended)], env={"PATH": SYSTEM_PATH})


class FollowingRecorder(Recorder):
    """Listens in a directory that the engine creates again at each start of its plugin."""

    def __init__(self, plugin: ManagedPlugin, dialler: Dialler) -> None:
        """Store the plugin that has the directory, and the dialler that connects to the plugin."""
        super().__init__(plugin.front, plugin.socket)
        self._dialler = dialler
        self._following = threading.Event()

    def dial(self) -> socket.socket:
        """Connect to pyvol as the engine does."""
        return self._dialler.dial()

    def follow(self) -> None:
        """Start to listen whenever the plugin's directory appears."""
        self._following.set()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        while self._following.is_set():
            if self.front.parent.is_dir() and not self.front.exists():
                before = self._listener
                with suppress(OSError):  # the engine has removed the directory again
                    self.open()
                    self._drop(before)
            time.sleep(INTERVAL_S)

    def end(self) -> None:
        """Stop listening."""
        self._following.clear()
        self.close()


class ManagedMachine(Machine):
    """A machine whose engine has pyvol as its managed plugin."""

    driver = f"{DRIVER}:latest"
    managed = True
    own_network = False
    plugin: ManagedPlugin

    def __init__(self, release: Release, image_root: bytes, registry: Registry) -> None:
        """Store the release, the root of the image to import, and the registry that has the plugin."""
        super().__init__(release, image_root)
        self._registry = registry

    def start(self) -> None:
        """Start the engine, and install the plugin."""
        self.open()
        self.fill()

    def open(self) -> None:
        """Open the namespaces, in a thread that lives as long as the machine."""
        self._up = True
        self.namespace = Namespace(own_network=self.own_network)
        self.namespace.open()
        self.dockerd = Dockerd(self.release, self.namespace)
        self.plugin = ManagedPlugin(self.namespace, self.dockerd, self._find_origin())
        self.recorder = self._make_recorder()

    def fill(self) -> None:
        """Start the engine in the namespaces, and install the plugin."""
        self._repair_engine()
        self.plugin.install()
        self.dockerd.import_images(self._image_root)

    def end_engine(self) -> None:
        """End the engine cleanly while no container runs, because its plugin still runs."""
        self.dockerd.stop()

    def plugin_mounts(self) -> list[str]:
        """Return the host's mounts of the plugin's pools and paths."""
        return [place for place in self.plugin.mounts() if "/propagated-mount/" in place]

    def pyvol(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run an installed pyvol command on the machine, without an option that says where the daemon is."""
        return self.namespace.run([sys.executable, "-m", "pyvol", *words], env={"PATH": SYSTEM_PATH})

    @contextmanager
    def another(self, name: str, **changes: object) -> Iterator[ManagedPlugin]:
        """Yield a second plugin on the same directories, with changes in its configuration."""
        plugin = ManagedPlugin(
            self.namespace, self.dockerd, pull(self._registry.publish_variant(name, **changes), name), name
        )
        plugin.install()
        yield plugin
        plugin.remove()

    def _find_origin(self) -> Sequence[str]:
        return pull(self._registry.plugin)

    def _make_recorder(self) -> Recorder:
        # This recorder never listens: these tests record nothing.
        return Recorder(self.plugin.front, self.plugin.socket)

    def _repair(self) -> None:
        self._repair_engine()
        if not self.plugin.inspect()["Enabled"]:
            self.plugin.enable()
        if self.plugin.settings:
            self.plugin.restart()
        self.plugin.start()


class RecordedMachine(ManagedMachine):
    """A managed machine with the recorder between the engine and its plugin."""

    def _find_origin(self) -> Sequence[str]:
        # The only change: the engine finds the recorder's socket instead of pyvol's.
        interface = {"Types": ["docker.volumedriver/1.0"], "Socket": RECORDED}
        return pull(self._registry.publish_variant("recorded", Interface=interface))

    def _make_recorder(self) -> Recorder:
        self._dialler = Dialler(self.namespace, self.plugin.socket)
        self._following = FollowingRecorder(self.plugin, self._dialler)
        self.dockerd.on_start = self._dialler.restart
        self._following.follow()
        return self._following

    def close(self) -> None:
        """End everything, whatever its state."""
        if self._up:
            self._following.end()
            self._dialler.end()
        super().close()
