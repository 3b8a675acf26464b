"""A private Docker engine for the benchmark, and its HTTP API.

Every dockerd of a machine reads /run/docker/plugins. This engine has a mount namespace with another directory
there, so it uses no plugin but the competitors.
"""

import contextlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
IMAGE = "pyvol-bench"
NAMESPACE = """
set -e
mount --make-rshared /
mkdir -p /run/docker
mount -t tmpfs tmpfs /run/docker
mkdir /run/docker/plugins
mount --bind "$0" /run/docker/plugins
exec "$@"
"""


class EngineError(Exception):
    """The engine did not start, or refused a request."""


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        """Store the socket's path."""
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self.path))


class Engine:
    """A private dockerd that runs during its `with` block.

    Args:
        directory: the directory for all its files.
        dockerd: the engine's program.
        docker: the client's program.
    """

    def __init__(self, directory: Path, dockerd: str, docker: str) -> None:
        """Set the paths of the engine's files."""
        self.directory = directory
        self.plugins = directory / "plugins"
        self.socket = directory / "docker.sock"
        self.log = directory / "dockerd.log"
        self.dockerd = dockerd
        self.docker = docker
        self.connection = Connection(self.socket)

    def __enter__(self) -> Self:
        """Start the engine, and wait until it answers."""
        self.plugins.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", NAMESPACE, self.plugins),
            *(self.dockerd, "--data-root", self.directory / "data", "--exec-root", self.directory / "exec"),
            *("--host", f"unix://{self.socket}", "--pidfile", self.directory / "pid"),
            *("--iptables=false", "--bridge=none"),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            self.wait()
        except EngineError:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop the engine."""
        self.connection.close()
        self.stop()

    def wait(self) -> None:
        """Wait for the engine's first answer."""
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.version = str(self.ask("GET", "/version")["Version"])
                return
            time.sleep(0.05)
        raise EngineError(f"dockerd did not start; its log ends: {self.log.read_text()[-1500:]}")

    def stop(self) -> None:
        """Stop the engine, and the containerd that it started."""
        self.process.terminate()
        try:
            self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            with contextlib.suppress(OSError, ValueError):
                left = int((self.directory / "exec" / "containerd" / "containerd.pid").read_text())
                os.kill(left, signal.SIGKILL)

    def call(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """Call the API on a persistent connection; return the body of a successful reply."""
        try:
            self.connection.request(method, path, body, {"Content-Type": kind} if body is not None else {})
            reply = self.connection.getresponse()
            content = reply.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise
        if reply.status >= http.HTTPStatus.BAD_REQUEST:
            raise EngineError(f"{method} {path}: {reply.status} {content.decode(errors='replace')}")
        return content

    def ask(self, method: str, path: str, content: object = None) -> dict[str, object]:
        """Call the API with JSON; return the decoded answer."""
        body = None if content is None else json.dumps(content).encode()
        answer: dict[str, object] = json.loads(self.call(method, path, body) or b"{}")
        return answer

    def import_image(self) -> None:
        """Import an image of the static busybox, without a registry."""
        busybox = shutil.which("busybox")
        if busybox is None:
            raise EngineError("busybox is not installed: apt-get install busybox-static")
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            tar.add(Path(busybox).resolve(), "bin/busybox")
            link = tarfile.TarInfo("bin/true")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        query = urlencode({"fromSrc": "-", "repo": IMAGE})
        self.call("POST", f"/images/create?{query}", layer.getvalue(), "application/x-tar")

    def create(self, driver: str, name: str, options: Mapping[str, str]) -> None:
        """Do what `docker volume create` does."""
        self.ask("POST", "/volumes/create", {"Name": name, "Driver": driver, "DriverOpts": dict(options)})

    def inspect(self, name: str) -> dict[str, object]:
        """Do what `docker volume inspect` does."""
        return self.ask("GET", f"/volumes/{name}")

    def list(self, driver: str) -> None:
        """Do what `docker volume ls` does, for one driver."""
        self.call("GET", "/volumes?" + urlencode({"filters": json.dumps({"driver": [driver]})}))

    def remove(self, name: str) -> None:
        """Do what `docker volume rm` does."""
        self.call("DELETE", f"/volumes/{name}")

    def run(self, volume: str) -> None:
        """Create, start, wait for and remove a container that uses the volume."""
        host = {"Binds": [f"{volume}:/data"], "NetworkMode": "none"}
        made = self.ask("POST", "/containers/create", {"Image": IMAGE, "Cmd": ["/bin/true"], "HostConfig": host})
        container = f"/containers/{made['Id']}"
        self.call("POST", f"{container}/start")
        self.call("POST", f"{container}/wait")
        self.call("DELETE", container)

    def run_by_client(self, volume: str) -> None:
        """Run `docker run --rm -v`, which includes the start of the client."""
        host = f"unix://{self.socket}"
        command = [self.docker, "--host", host, "run", "--rm", "--network", "none", "-v", f"{volume}:/data"]
        subprocess.run([*command, IMAGE, "/bin/true"], check=True, capture_output=True)
