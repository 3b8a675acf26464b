"""A guest: a real Linux kernel (User-Mode Linux) over this machine's files, for what a test can't do to the machine.

A power cut, systemd as pid 1, another kernel's modules. Every file of the machine is there, copy-on-write, so that the
interpreter and the package under test are the host's own. `Guest.run` runs a command as root in it, `Guest.cut_power`
ends it in mid-instruction. Knows nothing of pyvol.
"""

import contextlib
import functools
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

from .agent import EVENT
from .shim import build_shim

HERE = Path(__file__).resolve().parent
KERNEL = "linux.uml"
KERNEL_MODULES = Path("/usr/lib/uml/modules")
BOOT_TIMEOUT_S = 90.0
RUN_TIMEOUT_S = 90.0
MEMORY_MIB = 512


class GuestDied(Exception):
    """The guest ended, hung, or never came up; the message carries the end of its console."""


class Plug(NamedTuple):
    """One end of a cable, for a guest's vec0."""

    line: socket.socket
    mac: str


@contextlib.contextmanager
def lay_cable() -> Iterator[tuple[Plug, Plug]]:
    """Lay an Ethernet cable from guest to guest."""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, two:
        for line in (one, two):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        yield Plug(one, "02:00:00:00:01:01"), Plug(two, "02:00:00:00:01:02")


def make_disk(path: Path, size_mib: int) -> Path:
    """Make a sparse disk image with an ext4 file system on it."""
    with path.open("wb") as disk:
        disk.truncate(size_mib << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)
    return path


class Guest:
    """One boot of a guest, from the start of a `with` block to its end."""

    def __init__(
        self,
        *,
        disks: Sequence[Path] = (),
        writable: Sequence[Path] = (),
        init: Literal["agent", "systemd"] = "agent",
        memory_mib: int = MEMORY_MIB,
        plug: Plug | None = None,
    ) -> None:
        """Boot on `disks` (/dev/ubda, /dev/ubdb, …); directories in `writable` are the host's own, written through."""
        if shutil.which(KERNEL) is None or not KERNEL_MODULES.is_dir():
            message = f"{KERNEL} is not installed: apt-get install user-mode-linux"
            raise GuestDied(message)
        # A short path: the kernel puts a Unix socket of its own below it.
        self._directory = Path(tempfile.mkdtemp(prefix="guest-"))
        settings = {
            "kernel_modules": str(KERNEL_MODULES),
            "agent": [sys.executable, "-I", "-S", str(HERE / "agent.py")],
            "systemd": init == "systemd",
            "writable": [str(directory.resolve()) for directory in (self._directory, *writable)],
        }
        settings_file = self._directory / "settings.json"
        settings_file.write_text(json.dumps(settings))
        self._line, far_end = socket.socketpair()
        self._received = b""
        self._requests = 0
        with far_end, self._console_log.open("wb") as console:
            self._process = subprocess.Popen(
                [
                    *_at_once(),
                    KERNEL,
                    f"mem={memory_mib}M",
                    "quiet",
                    "loglevel=4",
                    "lsm=",
                    "root=/dev/root",
                    "rootfstype=hostfs",
                    "ro",
                    f"init={sys.executable}",
                    "con=null",
                    "con0=null,fd:2",
                    f"con1=fd:{far_end.fileno()}",
                    "ssl=null",
                    "umid=guest",
                    f"uml_dir={self._directory}/",
                    *(f"ubd{number}={disk.resolve()}" for number, disk in enumerate(disks)),
                    *([f"vec0:transport=fd,fd={plug.line.fileno()},mac={plug.mac}"] if plug else []),
                    "--",
                    "-I",
                    "-S",
                    str(HERE / "init.py"),
                    str(settings_file),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=os.environ
                | {"LD_PRELOAD": str(build_shim("xstate_shim")), "TMPDIR": _memory_directory(memory_mib)},
                pass_fds=[far_end.fileno(), *([plug.line.fileno()] if plug else [])],
                start_new_session=True,
            )

    @property
    def _console_log(self) -> Path:
        return self._directory / "console.log"

    def __enter__(self) -> Self:
        """Wait until the guest takes commands."""
        try:
            ready = self._next_line(time.monotonic() + BOOT_TIMEOUT_S)
            assert "ready" in _event(ready), ready
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the guest; nothing in it is worth a clean stop."""
        self.cut_power()
        self._line.close()
        shutil.rmtree(self._directory)

    def run(
        self,
        *argv: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        check: bool = True,
        timeout_s: float = RUN_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command in the guest to its end; a failure is an AssertionError, unless `check` is off."""
        out, err, code = "", "", -1
        self._send(argv, env or {}, stdin, straight=False)
        for answer in self._answers(timeout_s, straight=False):
            event = _event(answer)
            out += str(event.get("out", ""))
            err += str(event.get("err", ""))
            code = int(str(event.get("exit", code)))
        done = subprocess.CompletedProcess(argv, code, out, err)
        if check and code != 0:
            message = f"{shlex.join(map(str, argv))} exited {code} in the guest:\n{out}{err}"
            raise AssertionError(message)
        return done

    def lines(
        self,
        *argv: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_s: float = RUN_TIMEOUT_S,
    ) -> Iterator[str]:
        """Start one command in the guest, and return the lines of its output as they come.

        A line has left the guest before the command goes on, and outlives a power cut. The next one may take
        `timeout_s`. A failure, or anything on stderr, is an AssertionError at the end.
        """
        self._send(argv, env or {}, stdin, straight=True)
        return self._straight_lines(argv, timeout_s)

    def _straight_lines(self, argv: Sequence[str | Path], timeout_s: float) -> Iterator[str]:
        err, code = "", 0
        for answer in self._answers(timeout_s, straight=True):
            if answer.startswith(EVENT):
                event = _event(answer)
                err += str(event.get("err", ""))
                code = int(str(event.get("exit", code)))
            else:
                yield answer.decode()
        if code != 0 or err:
            message = f"{shlex.join(map(str, argv))} exited {code} in the guest:\n{err}"
            raise AssertionError(message)

    @contextlib.contextmanager
    def sleeping(self) -> Iterator[None]:
        """Have the guest stand still in the body, as a machine that sleeps; the time goes on."""
        os.kill(self._process.pid, signal.SIGSTOP)  # not its processes, which it traces
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def cut_power(self) -> None:
        """End the guest at whatever instruction it is: what it had not written to its disks is gone.

        What it had said by then can still be read from `lines`, up to `GuestDied`.
        """
        if self._process.returncode is not None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # The kernel has helpers (one writes to the disks). They are dead when no one holds the far end of the line.
        self._line.settimeout(BOOT_TIMEOUT_S)
        with contextlib.suppress(ConnectionResetError):
            while data := self._line.recv(65536):
                self._received += data

    def _send(self, argv: Sequence[str | Path], env: Mapping[str, str], stdin: str, *, straight: bool) -> None:
        """Send one request."""
        # The request goes by way of a file, as the guest's console drops what comes faster than it is read.
        self._requests += 1
        request = self._directory / f"request-{self._requests}"
        words = [str(word) for word in argv]
        request.write_text(json.dumps({"argv": words, "env": dict(env), "stdin": stdin, "straight": straight}))
        try:
            self._line.sendall(bytes(request) + b"\n")
        except BrokenPipeError:
            raise self._death("the guest is dead") from None

    def _answers(self, timeout_s: float, *, straight: bool) -> Iterator[bytes]:
        """Yield the lines that come back up to the command's end."""
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self._next_line(deadline)
            yield answer
            if straight:
                deadline = time.monotonic() + timeout_s
            if answer.startswith(EVENT) and "exit" in _event(answer):
                return

    def _next_line(self, deadline: float) -> bytes:
        while b"\n" not in self._received:
            self._line.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._line.recv(65536)
            except TimeoutError:
                raise self._death("the guest did not answer in time") from None
            if not data:
                raise self._death("the guest died")
            self._received += data
        line, self._received = self._received.split(b"\n", 1)
        return line

    def _death(self, what: str) -> GuestDied:
        return GuestDied(f"{what}; the end of its console:\n{self._console_log.read_text(errors='replace')[-4000:]}")


def _event(line: bytes) -> dict[str, object]:
    event: dict[str, object] = json.loads(line.removeprefix(EVENT))
    return event


def _at_once() -> Sequence[str]:
    """Return what starts a guest on one processor, ahead of all else there.

    Its kernel and its processes are processes of this machine that wait for each other all the time. To wake one on the
    other processor, or behind somebody else's work, makes a guest three to five times slower. All guests are on the
    same processor, so that something is left of the machine.
    """
    processor = max(os.sched_getaffinity(0))
    return ("chrt", "--rr", "1", "taskset", "--cpu-list", str(processor)) if _may_come_first() else ()


@functools.cache
def _may_come_first() -> bool:
    """Whether this machine lets us (a container may not, and its guests are slow then)."""
    return subprocess.run(["chrt", "--rr", "1", "true"], check=False, capture_output=True).returncode == 0


def _memory_directory(memory_mib: int) -> str:
    """Return where the guest's memory is kept: in RAM if there is room for it (a container's /dev/shm is small)."""
    shared = os.statvfs("/dev/shm")
    return "/dev/shm" if shared.f_bavail * shared.f_frsize > memory_mib << 20 else tempfile.gettempdir()
