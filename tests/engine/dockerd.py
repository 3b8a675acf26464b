"""A private dockerd of one release: start, stop, kill and call it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

from deadline import await_true

from .api import Api
from .images import BOX, BOX_WITH_VOLUME, SEEDED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .namespace import Namespace, Resident
    from .releases import Release

# An engine that calls an absent plugin waits 15 s per volume and per mount before it serves (engine fact 34).
START_TIMEOUT_S = 180
PLUGIN_LOST = "plugins.(*Client).callWithRetry(0x0"
"""The last log line of an engine that calls a plugin which it failed to start (engine fact 44)."""
STARTS = 3
"""How often systemd restarts an engine that fails."""


class Dockerd:
    """One engine; its data outlives each of its processes.

    Attributes:
        live_restore: whether the next engine process leaves containers running when it ends.
    """

    def __init__(self, release: Release, namespace: Namespace) -> None:
        """Set the paths of one engine."""
        self.release = release
        self.log = namespace.directory / "dockerd.log"
        self.live_restore = False
        self.on_start: Callable[[], None] = lambda: None
        self._namespace = namespace
        self._directory = namespace.directory
        self.data = namespace.directory / "data"
        self._process: Resident | None = None
        self._log_start = 0
        self.api = Api(self._directory / "docker.sock")
        self._prepare_client()

    def _prepare_client(self) -> None:
        plugins = self._directory / "client" / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(self.release.compose)

    @property
    def alive(self) -> bool:
        """Whether the engine's process runs."""
        return self._process is not None and self._process.alive

    def start(self, *, wait: bool = True) -> None:
        """Start the engine, and wait until its API answers."""
        # A pid namespace soon uses a number again: the pidfile of a killed engine could name another process.
        pidfile = self._directory / "docker.pid"
        pidfile.unlink(missing_ok=True)
        settings = self._directory / "daemon.json"
        settings.write_text("{}")
        command = [
            str(self.release.dockerd),
            *("--config-file", str(settings)),
            *("--data-root", str(self.data)),
            *("--exec-root", str(self._directory / "exec")),
            *("--pidfile", str(pidfile)),
            *("--host", f"unix://{self.api.path}"),
            *("--iptables=false", "--ip-forward=false", "--bridge=none"),
            *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", self._namespace.cgroup),
            # An engine that stops waits this long for containers that ignore SIGTERM, as a shell with pid 1
            # does.
            *("--shutdown-timeout", "5"),
            *(["--live-restore"] if self.live_restore else []),
        ]
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        environment = {"PATH": self.release.path, "HOME": str(self._directory)}
        self._process = self._namespace.spawn(command, log=self.log, env=environment)
        self.on_start()
        if wait:
            self.await_ready()

    def await_ready(self) -> None:
        """Wait until the engine serves its API."""
        for _ in range(STARTS):
            await_true(lambda: self.api.answers() or not self.alive, "dockerd to answer", timeout_s=START_TIMEOUT_S)
            if self.alive:
                return
            if PLUGIN_LOST not in self.logged():
                break
            self.start(wait=False)
        raise RuntimeError(f"dockerd did not start:\n{self.log.read_text()[-3000:]}")

    def logged(self) -> str:
        """Return what the engine has logged since its start."""
        return self.log.read_bytes()[self._log_start :].decode(errors="replace")

    def await_retry(self) -> None:
        """Wait until the engine, since its start, has logged a failed try to reach a plugin."""
        await_true(lambda: "retrying in" in self.logged(), "the engine to try again")

    def stop(self) -> None:
        """Stop the engine as systemd would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the engine with SIGKILL; its containers run until the next engine finds them."""
        self._end(signal.SIGKILL)

    def forget_volumes(self) -> None:
        """Delete a dead engine's records of volumes, so that it does not send a Get for each at its start."""
        known_pool_id = str(self.data / "volumes" / "metadata.db")
        self._namespace.run(["rm", "-f", known_pool_id], env=os.environ).check_returncode()

    def collect(self) -> None:
        """Collect the exit status of an engine that ended with its namespace."""
        if self._process is not None:
            self._process.kill()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send(number)
            self._process.wait(120)
            self._process = None

    def restart(self) -> None:
        """Stop the engine and start it again."""
        self.stop()
        self.start()

    def client(self, *words: str) -> list[str]:
        """Return the command line of this release's client."""
        return [str(self.release.docker), "--host", f"unix://{self.api.path}", *words]

    def environment(self) -> dict[str, str]:
        """Return the client's environment, without the test machine's Docker configuration and context."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "COMPOSE_"))}
        return inherited | {"DOCKER_CONFIG": str(self._directory / "client")}

    def run(
        self, *words: str, stdin: bytes = b"", timeout_s: float = 180, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the client and return its result."""
        done = subprocess.run(
            self.client(*words),
            check=False,
            input=stdin,
            capture_output=True,
            env=self.environment(),
            timeout=timeout_s,
            cwd=cwd,
        )
        return subprocess.CompletedProcess(
            done.args,
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )

    def import_images(self, root: bytes) -> None:
        """Import the stand-in images: a plain image, and an image with a VOLUME over its seeded directory."""
        for image, changes in ((BOX, []), (BOX_WITH_VOLUME, ["--change", f"VOLUME {SEEDED}"])):
            done = self.run("import", *changes, "-", image, stdin=root)
            if done.returncode:
                raise RuntimeError(f"docker import {image}: {done.stderr}")
