"""pyvol as a managed plugin of the engine, and a machine that has it so."""

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
"""A crashed plugin is back in a second; an engine gives up the try to start one after ten."""
RECORDED = "recorded.sock"
"""What the engine takes for the plugin's socket; pyvol's own lies beside it."""


def pull(reference: str, name: str = DRIVER) -> list[str]:
    """Write how an engine gets a plugin from a registry, disabled."""
    return ["install", "--grant-all-permissions", "--disable", "--alias", name, reference]


class ManagedPlugin(Plugin):
    """Starts, ends and asks a pyvol that is its engine's: a kill is a crash, after which the engine starts it anew."""

    def __init__(self, namespace: Namespace, dockerd: Dockerd, origin: Sequence[str], name: str = DRIVER) -> None:
        """Take the engine, and the words of `docker plugin` by which it gets the plugin, disabled."""
        super().__init__(namespace)
        self.name = name
        self._dockerd = dockerd
        self._origin = origin
        # A path of the plugin's directory that is short enough for a socket's.
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
        """Bring the plugin to the engine, with its directories on this machine, and enable it."""
        self.docker("plugin", *self._origin)
        self.set(*self.given(), *(f"{name}={value}" for name, value in self.settings.items()))
        self.find()  # before it is enabled: the recorder has to listen in its directory then
        self.docker("plugin", "enable", self.name)
        self.start()

    def given(self) -> list[str]:
        """Return what is set where it is installed: directories of this machine."""
        self.root.mkdir(exist_ok=True)
        return [f"data.source={self.root}", f"paths.source={tempfile.gettempdir()}", "PYVOL_LOG_LEVEL=debug"]

    def come_in(self) -> None:
        """Find its socket, where the engine has just got it and enabled it."""
        self.find()
        self.start()

    def find(self) -> None:
        """Learn where the engine will have its socket."""
        self.id = self.inspect()["Id"]
        self._place.unlink(missing_ok=True)
        self._place.symlink_to(self._namespace.plugins / self.id)

    def set(self, *settings: str) -> None:
        """Change settings of the plugin, which is disabled."""
        self.docker("plugin", "set", self.name, *settings)

    def inspect(self) -> dict[str, Any]:
        """Return what the engine knows of it."""
        inspected: dict[str, Any] = self._dockerd.api.call("GET", f"/plugins/{self.name}/json")
        return inspected

    def remove(self) -> None:
        """Take it from the engine, whatever uses it."""
        self.docker("plugin", "rm", "--force", self.name)

    @property
    def alive(self) -> bool:
        """Whether the daemon answers."""
        return self._answers()

    @property
    def pid(self) -> int:
        """Its first process, as the namespace numbers it; 0 when there is none."""
        tasks = "exec/containerd/daemon/io.containerd.runtime.v2.task/plugins.moby"
        try:
            return int((self._namespace.directory / tasks / self.id / "init.pid").read_text())
        except OSError:
            return 0

    def enable(self) -> None:
        """Have the engine start it; where it could not and cannot again, by docs/managed-plugin.md's way out."""
        done = self._dockerd.run("plugin", "enable", self.name)
        # 20.10 says the one, and 26 the other, of a start that it has given up and not cleared away.
        if "id already in use" in done.stderr or "file exists" in done.stderr:
            self.remove()
            self.install()
        elif done.returncode:
            raise RuntimeError(done.stderr)
        self.start()

    def disable(self) -> None:
        """Have the engine end it, whatever uses it."""
        self.docker("plugin", "disable", "--force", self.name)
        self.await_cleared()

    def await_cleared(self) -> None:
        """Wait until the engine has cleared away the mounts of the plugin that has ended.

        That is its last step after the end of a plugin. It comes after the engine's answer, and would take away the
        mounts of a plugin that is started before it.
        """
        await_true(lambda: not self.mounts(), "the engine to clear away the plugin's mounts")

    def mounts(self) -> list[str]:
        """Return where the host has a mount that belongs to the plugin."""
        table = self._namespace.run(["cat", "/proc/self/mountinfo"], env={"PATH": SYSTEM_PATH}).stdout
        places = [line.split(" ")[4] for line in table.splitlines()]
        return [place for place in places if f"/plugins/{self.id}/" in place]

    def start(self) -> None:
        """Wait until it answers; starting it is the engine's affair.

        An engine has one try at a plugin that crashed, and none at one that crashes again within seconds: it leaves it
        disabled, and docs/managed-plugin.md tells the way out. That is taken where pyvol did its part, or had none.
        """
        if not self._dockerd.alive:
            return
        try:
            await_true(self._is_back, "the managed pyvol to answer", timeout_s=RESTART_S)
        except TimeoutError:
            said = self._said()
            if self.inspect()["Enabled"] or (said and not any(" listening " in line for line in said)):
                raise RuntimeError("\n".join(["pyvol was started and does not answer:", *said])) from None
            self.enable()
            await_true(self._is_back, "the managed pyvol to answer")

    def _said(self) -> list[str]:
        """Return what it has said since it was ended last; the engine has it in its log."""
        log = self._dockerd.log.read_bytes()[self._log_start :].decode(errors="replace")
        return [line for line in log.splitlines() if f"plugin={self.id}" in line]

    def _is_back(self) -> bool:
        return self.pid != self._ended and self._answers()

    def restart(self, **settings: str) -> None:
        """Start it anew, with these settings."""
        self.disable()
        defaults = {entry["Name"]: entry["Value"] for entry in self.inspect()["Config"]["Env"]}
        for name in {**self.settings, **settings}:
            self.set(f"{name}={settings.get(name, defaults[name])}")
        self.settings = settings
        self.enable()

    def _end(self, number: signal.Signals) -> None:
        self._ended = self.pid
        self._log_start = self._dockerd.log.stat().st_size
        if self._ended:  # kill(2) takes 0 for all of ours
            script = 'kill -"$0" "$1" && while kill -0 "$1"; do sleep 0.01; done'
            self._namespace.run(["sh", "-c", script, str(int(number)), str(self._ended)], env={"PATH": SYSTEM_PATH})


class FollowingRecorder(Recorder):
    """Listens in a directory that the engine makes anew at each start of its plugin."""

    def __init__(self, plugin: ManagedPlugin, dialler: Dialler) -> None:
        """Take the plugin whose directory it is, and who connects to it."""
        super().__init__(plugin.front, plugin.socket)
        self._dialler = dialler
        self._following = threading.Event()

    def dial(self) -> socket.socket:
        """Connect to pyvol as the engine would."""
        return self._dialler.dial()

    def follow(self) -> None:
        """Begin to listen wherever the plugin's directory appears."""
        self._following.set()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        while self._following.is_set():
            if self.front.parent.is_dir() and not self.front.exists():
                before = self._listener
                with suppress(OSError):  # the directory went again
                    self.open()
                    self._drop(before)
            time.sleep(INTERVAL_S)

    def end(self) -> None:
        """Listen no more."""
        self._following.clear()
        self.close()


class ManagedMachine(Machine):
    """A machine whose engine has pyvol as its managed plugin."""

    driver = f"{DRIVER}:latest"
    managed = True
    own_network = False
    plugin: ManagedPlugin

    def __init__(self, release: Release, image_root: bytes, registry: Registry) -> None:
        """Take the release, the root of the image to import, and the registry that has the plugin."""
        super().__init__(release, image_root)
        self._registry = registry

    def start(self) -> None:
        """Start the engine, and give it its plugin."""
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
        """Start the engine in them, and give it its plugin."""
        self._mend_engine()
        self.plugin.install()
        self.dockerd.import_images(self._image_root)

    def end_engine(self) -> None:
        """End the engine when no container runs: its plugin does, so the end has to be a clean one."""
        self.dockerd.stop()

    def shown(self) -> list[str]:
        """Return where the host has a mount of the plugin's pools and paths."""
        return [place for place in self.plugin.mounts() if "/propagated-mount/" in place]

    def pyvol(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a pyvol command on the machine, as one does who has installed it, without saying where the daemon is."""
        return self.namespace.run([sys.executable, "-m", "pyvol", *words], env={"PATH": SYSTEM_PATH})

    @contextmanager
    def another(self, name: str, **changes: object) -> Iterator[ManagedPlugin]:
        """A second plugin, with changes in its configuration, on the same directories."""
        plugin = ManagedPlugin(self.namespace, self.dockerd, pull(self._registry.vary(name, **changes), name), name)
        plugin.install()
        yield plugin
        plugin.remove()

    def _find_origin(self) -> Sequence[str]:
        return pull(self._registry.plugin)

    def _make_recorder(self) -> Recorder:
        # It never listens: nothing is recorded here.
        return Recorder(self.plugin.front, self.plugin.socket)

    def _mend(self) -> None:
        self._mend_engine()
        if not self.plugin.inspect()["Enabled"]:
            self.plugin.enable()
        if self.plugin.settings:
            self.plugin.restart()
        self.plugin.start()


class RecordedMachine(ManagedMachine):
    """The same, with the recorder between the engine and its plugin."""

    def _find_origin(self) -> Sequence[str]:
        # The one change is that the engine finds the recorder in pyvol's place.
        interface = {"Types": ["docker.volumedriver/1.0"], "Socket": RECORDED}
        return pull(self._registry.vary("recorded", Interface=interface))

    def _make_recorder(self) -> Recorder:
        self._dialler = Dialler(self.namespace, self.plugin.socket)
        self._following = FollowingRecorder(self.plugin, self._dialler)
        self.dockerd.on_start = self._dialler.begin_life
        self._following.follow()
        return self._following

    def close(self) -> None:
        """End everything, in whatever state it is."""
        if self._up:
            self._following.end()
            self._dialler.end()
        super().close()
