"""The competitors as processes: start them, wait for them, measure their memory, stop them."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import plugin_api
from pyvol.daemon import gunicorn_server, listener

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0
POLL_S = 0.001
PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


class StartError(Exception):
    """A competitor did not start."""


class Daemon:
    """A server on a Unix socket that runs during its `with` block."""

    def __init__(self, command: Sequence[str | Path], socket: Path, directory: Path) -> None:
        """Store the command, the socket that it will serve, and the directory of its log."""
        self.command = [str(word) for word in command]
        self.socket = socket
        self.log = directory / f"{socket.stem}.log"
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("PYVOL_")}

    def __enter__(self) -> Self:
        """Start the server, and wait for its first answer."""
        self.start_s = self.start(plugin_api.request("Capabilities"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop the server."""
        self.stop()

    def start(self, asked: bytes) -> float:
        """Start the server; return the seconds until it has answered `asked`."""
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            begun = time.perf_counter()
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment
            )
        while time.perf_counter() < begun + START_DEADLINE_S:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                plugin_api.timed(self.socket, asked)
                return time.perf_counter() - begun
            if self.process.poll() is not None:
                break
            time.sleep(POLL_S)
        self.stop()
        raise StartError(f"{' '.join(self.command)} did not answer; its log ends: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """Stop the server, and wait until it has ended."""
        self.process.terminate()
        try:
            self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.socket.unlink(missing_ok=True)

    def pss_bytes(self) -> int:
        """The server's share of the machine's memory, in all its processes."""
        return sum(pss_bytes(pid) for pid in family(self.process.pid))


def family(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of one process."""
    found = PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    return int(found[1]) * 1024 if found else 0


def pyvol(socket: Path, home: Path) -> Daemon:
    """Return pyvol with the pool at `home` and default settings."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pyvol",
        "serve",
        "--socket",
        socket,
        "--root",
        home,
        "--state-dir",
        home,
    ]
    return Daemon(command, socket, home.parent)


def floor(app: str, socket: Path, directory: Path) -> Daemon:
    """Return one of the floor apps, with the settings of pyvol's server."""
    command: list[str | Path] = [
        *(sys.executable, "-m", "bench.floor", app, "--socket", socket, "--directory", directory),
        *(
            "--threads",
            str(gunicorn_server.THREADS),
            "--backlog",
            str(listener.BACKLOG),
            "--umask",
            str(listener.SOCKET_UMASK),
        ),
    ]
    return Daemon(command, socket, directory)


def rclone() -> str | None:
    """Return the path of rclone, or None if it is not installed."""
    return shutil.which("rclone")


def rclone_plugin(program: str, socket: Path, home: Path) -> Daemon:
    """Return `rclone serve docker` with its state under `home`."""
    base = home / "base"
    base.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [
        *(program, "serve", "docker", "--socket-addr", socket),
        *("--base-dir", base, "--cache-dir", home / "cache", "--config", ""),
    ]
    return Daemon(command, socket, home)
