"""A whole machine in one object: an engine, pyvol, and the recorder between them, in their own namespace."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from deadline import await_true

from .dockerd import Dockerd
from .images import BOX
from .namespace import Namespace
from .plugin import Claimed, Plugin
from .recorder import Recorder

if TYPE_CHECKING:
    from pathlib import Path

    from .calls import Calls
    from .releases import Release

DRIVER = "pyvol"


class Machine:
    """The machine that a test uses: `docker` calls the engine, `plugin` is pyvol, `recorder` has the calls.

    Attributes:
        driver: the engine's name for pyvol.
        managed: whether pyvol is the engine's managed plugin, not a daemon beside the engine.
    """

    driver = DRIVER
    managed = False
    plugin: Plugin

    def __init__(self, release: Release, image_root: bytes) -> None:
        """Store the release to run and the root file system of the image to import; start nothing yet."""
        self.release = release
        self._image_root = image_root
        self._live_restore = False
        self._up = False

    def start(self) -> None:
        """Start everything, pyvol first, in the order of a real machine's units."""
        self._up = True
        self.namespace = Namespace()
        self.namespace.open()
        self.plugin = Plugin(self.namespace)
        self.recorder = Recorder(self.namespace.plugins / f"{DRIVER}.sock", self.plugin.socket)
        self.dockerd = Dockerd(self.release, self.namespace)
        self.plugin.start()
        self.recorder.open()
        self._repair_engine()
        self.dockerd.import_images(self._image_root)

    def close(self) -> None:
        """End everything, whatever its state."""
        if not self._up:
            return
        self._up = False
        self.recorder.close()
        # The end of the namespace kills the processes inside; the two waits only collect their exit statuses.
        self.namespace.close()
        for resident in (self.plugin, self.dockerd):
            with suppress(subprocess.TimeoutExpired):
                resident.collect()

    def reset(self, *, live_restore: bool = False) -> None:
        """Reset the machine: engine, pyvol and recorder run, and no container, volume or call is left."""
        self._live_restore = live_restore
        try:
            self._repair()
            self.dockerd.api.remove_everything()
            self.plugin.post("v1/trash/empty?wait=20", {"kept_too": True})
        except (AssertionError, OSError, RuntimeError, TimeoutError, subprocess.TimeoutExpired):
            self.close()
            self.start()
        self.recorder.forget()

    def _repair(self) -> None:
        if self.plugin.settings or not self.plugin.alive:
            self.plugin.restart()
        if not self.recorder.listening:
            self.recorder.open()
        self.recorder.forget()
        self._repair_engine()

    def _repair_engine(self) -> None:
        if self.dockerd.live_restore != self._live_restore:
            self.dockerd.stop()
            self.dockerd.live_restore = self._live_restore
        if not self.dockerd.alive:
            self.dockerd.start()

    def end_engine(self) -> None:
        """End the engine while no container runs."""
        self.dockerd.kill()  # has the same effect as a clean end, and is faster

    def docker(self, *words: str) -> str:
        """Run a docker command that must succeed, and return what it printed."""
        done = self.dockerd.run(*words)
        if done.returncode:
            raise AssertionError(f"docker {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def refused(self, *words: str) -> str:
        """Run a docker command that must fail, and return its error."""
        done = self.dockerd.run(*words)
        if not done.returncode:
            raise AssertionError(f"docker {' '.join(words)} succeeded: {done.stdout}")
        return done.stderr.strip()

    def create(self, volume: str, **options: str) -> None:
        """Create a volume with pyvol as its driver."""
        words = [word for key, value in options.items() for word in ("--opt", f"{key}={value}")]
        self.docker("volume", "create", "--driver", self.driver, *words, volume)

    def run(self, *words: str, script: str = "true") -> str:
        """Run a container until it ends: `words` are options of docker run, `script` runs inside it.

        The output comes from the container's log: an engine gives up an attached client two seconds after the
        end of a container, and on a busy machine the client has not read everything by then.
        """
        container = self.docker("run", "--detach", "--network", "none", *words, BOX, "sh", "-c", script)
        try:
            status = self.docker("wait", container)
            output = self.docker("logs", container)
        finally:
            self.docker("rm", "--force", "--volumes", container)
        assert status == "0", f"{script}: exit code {status}\n{output}"
        return output

    def launch(self, name: str, *words: str, script: str = "sleep 600") -> str:
        """Start a container that keeps running, and return its id; a signal ends it at once."""
        started = ["run", "--detach", "--network", "none", "--name", name, "--init=false", *words]
        return self.docker(*started, BOX, "sh", "-c", f"trap 'exit 0' TERM; {script} & wait $!")

    def inspect_volume(self, volume: str) -> dict[str, Any]:
        """Return the output of `docker volume inspect`."""
        inspected: list[dict[str, Any]] = json.loads(self.docker("volume", "inspect", volume))
        return inspected[0]

    def volumes(self) -> list[str]:
        """Return the names of pyvol's volumes from the engine's list."""
        return sorted(self.docker("volume", "ls", "--quiet", "--filter", f"driver={self.driver}").split())

    def running(self, container: str) -> bool:
        """Return whether the engine reports the container as running."""
        return self.docker("inspect", "--format", "{{.State.Running}}", container) == "true"

    def data(self, volume: str) -> Path:
        """Return the directory that containers see as the volume."""
        return self.plugin.data(volume)

    def calls(self, volume: str | None = None) -> Calls:
        """Return the calls since the start of the test, or only the calls for one volume."""
        calls = self.recorder.calls()
        return calls if volume is None else calls.about(volume)

    def await_calls(self, verb: str, times: int) -> None:
        """Wait until the engine has called a verb this many times and has the replies."""
        await_true(lambda: sum(call.done for call in self.calls().of(verb)) >= times, f"{times} calls of {verb}")

    def copy_out(self, source: str, target: str) -> None:
        """Copy a file out of a container, and wait for the Unmount, which the engine sends afterwards."""
        known = sum(call.done for call in self.calls().of("Unmount"))
        self.docker("cp", source, target)
        self.await_calls("Unmount", known + 1)

    def claims(self, volume: str) -> list[Claimed]:
        """Return the claims of a volume from `pyvol claims`."""
        return [claim for claim in self.plugin.claims() if claim.volume == volume]

    def restart_plugin(self) -> None:
        """Kill pyvol and start it again behind the same socket."""
        self.plugin.kill()
        self.recorder.note("killed")
        self.plugin.start()
