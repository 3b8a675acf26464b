"""A whole machine in one object: an engine, pyvol, and the recorder between them, in a namespace of their own."""

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

    from .calls import Story
    from .releases import Release

DRIVER = "pyvol"


class Machine:
    """What a test drives: `docker` talks to the engine, `plugin` is pyvol, `recorder` saw what they said.

    Attributes:
        driver: what the engine calls pyvol.
        managed: whether pyvol is the engine's own plugin, and not a daemon beside it.
    """

    driver = DRIVER
    managed = False
    plugin: Plugin

    def __init__(self, release: Release, image_root: bytes) -> None:
        """Take the release to run and the root of the image to import; nothing is started yet."""
        self.release = release
        self._image_root = image_root
        self._live_restore = False
        self._up = False

    def start(self) -> None:
        """Start everything, pyvol first, as the units of a real machine do."""
        self._up = True
        self.namespace = Namespace()
        self.namespace.open()
        self.plugin = Plugin(self.namespace)
        self.recorder = Recorder(self.namespace.plugins / f"{DRIVER}.sock", self.plugin.socket)
        self.dockerd = Dockerd(self.release, self.namespace)
        self.plugin.start()
        self.recorder.open()
        self._mend_engine()
        self.dockerd.import_images(self._image_root)

    def close(self) -> None:
        """End everything, in whatever state it is."""
        if not self._up:
            return
        self._up = False
        self.recorder.close()
        # The namespace's end kills what is inside; the two waits only collect the processes' statuses.
        self.namespace.close()
        for resident in (self.plugin, self.dockerd):
            with suppress(subprocess.TimeoutExpired):
                resident.collect()

    def reset(self, *, live_restore: bool = False) -> None:
        """Bring it back to where every test begins: all running, no container, no volume, no call recorded."""
        self._live_restore = live_restore
        try:
            self._mend()
            self.dockerd.api.remove_everything()
            self.plugin.post("v1/trash/empty", {"kept_too": True})
        except (AssertionError, OSError, RuntimeError, TimeoutError, subprocess.TimeoutExpired):
            self.close()
            self.start()
        self.recorder.forget()

    def _mend(self) -> None:
        if self.plugin.settings or not self.plugin.alive:
            self.plugin.restart()
        if not self.recorder.listening:
            self.recorder.open()
        self.recorder.forget()
        self._mend_engine()

    def _mend_engine(self) -> None:
        if self.dockerd.live_restore != self._live_restore:
            self.dockerd.stop()
            self.dockerd.live_restore = self._live_restore
        if not self.dockerd.alive:
            self.dockerd.start()

    def end_engine(self) -> None:
        """End the engine when no container runs."""
        self.dockerd.kill()  # as good as the clean end, and quicker

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
        """Create a volume of pyvol's."""
        words = [word for key, value in options.items() for word in ("--opt", f"{key}={value}")]
        self.docker("volume", "create", "--driver", self.driver, *words, volume)

    def run(self, *words: str, script: str = "true") -> str:
        """Run a container to its end: words are options of docker run, script is what runs inside."""
        return self.docker("run", "--rm", "--network", "none", *words, BOX, "sh", "-c", script)

    def launch(self, name: str, *words: str, script: str = "sleep 600") -> str:
        """Start a container that stays, and return its id; a signal ends it at once."""
        started = ["run", "--detach", "--network", "none", "--name", name, "--init=false", *words]
        return self.docker(*started, BOX, "sh", "-c", f"trap 'exit 0' TERM; {script} & wait $!")

    def inspect_volume(self, volume: str) -> dict[str, Any]:
        """Return what `docker volume inspect` says."""
        inspected: list[dict[str, Any]] = json.loads(self.docker("volume", "inspect", volume))
        return inspected[0]

    def volumes(self) -> list[str]:
        """Return the names of pyvol's volumes as the engine lists them."""
        return sorted(self.docker("volume", "ls", "--quiet", "--filter", f"driver={self.driver}").split())

    def running(self, container: str) -> bool:
        """Whether the engine says that the container runs."""
        return self.docker("inspect", "--format", "{{.State.Running}}", container) == "true"

    def data(self, volume: str) -> Path:
        """Return the directory that the containers see."""
        return self.plugin.data(volume)

    def story(self, volume: str | None = None) -> Story:
        """Return the calls since the test began, of one volume if it is named."""
        story = self.recorder.story()
        return story if volume is None else story.about(volume)

    def await_calls(self, verb: str, times: int) -> None:
        """Wait until the engine has called a verb so many times and got its answers."""
        await_true(lambda: sum(call.done for call in self.story().of(verb)) >= times, f"{times} calls of {verb}")

    def copy_out(self, source: str, target: str) -> None:
        """Copy a file out of a container, and wait for the Unmount, which the engine sends when the client has it."""
        known = sum(call.done for call in self.story().of("Unmount"))
        self.docker("cp", source, target)
        self.await_calls("Unmount", known + 1)

    def claims(self, volume: str) -> list[Claimed]:
        """Return the claims of a volume as pyvol shows them."""
        return [claim for claim in self.plugin.claims() if claim.volume == volume]

    def restart_plugin(self) -> None:
        """Kill pyvol and start it again behind the same socket."""
        self.plugin.kill()
        self.recorder.note("killed")
        self.plugin.start()
