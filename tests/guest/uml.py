"""A guest: a real Linux kernel (User-Mode Linux) over this machine's files, for faults of a whole machine.

Examples are a power cut, systemd as pid 1, and another kernel's modules. Every file of the machine is there,
copy-on-write, so the guest uses the host's interpreter and the package under test. `Guest.run` runs a command
as root in the guest, and `Guest.cut_power` ends the guest at any instruction. This module does not know
pyvol.
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
    """The guest ended, hung, or never started; the message contains the end of its console."""


class Plug(NamedTuple):
    """One end of a cable, for a guest's vec0."""

    line: socket.socket
    mac: str


@contextlib.contextmanager
def lay_cable() -> Iterator[tuple[Plug, Plug]]:
    """Connect two guests with an Ethernet cable."""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, two:
        for line in (one, two):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        yield Plug(one, "02:00:00:00:01:01"), Plug(two, "02:00:00:00:01:02")


def make_disk(path: Path, size_mib: int) -> Path:
    """Create a sparse disk image with an ext4 file system."""
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
        """Boot on `disks` (/dev/ubda, /dev/ubdb, …); directories in `writable` are shared with the host."""
        if shutil.which(KERNEL) is None or not KERNEL_MODULES.is_dir():
            message = f"{KERNEL} is not installed: apt-get install user-mode-linux"
            raise GuestDied(message)
        # A short path: the kernel creates a Unix socket below it.
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
        """Kill the guest; nothing in it needs a clean stop."""
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
        """Run one command in the guest to its end; raise AssertionError on failure, unless `check` is off."""
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
        """Start one command in the guest, and yield the lines of its output as they arrive.

        Each line has left the guest before the command continues, so a power cut does not lose it. The next
        line may take `timeout_s`. After a failure, or any output on stderr, AssertionError is raised at the
        end.
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
        """Stop the guest during the `with` block, as a machine that sleeps, while the time continues."""
        os.kill(self._process.pid, signal.SIGSTOP)  # only the kernel: it traces the guest's processes
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def cut_power(self) -> None:
        """End the guest at an arbitrary instruction: what it had not written to its disks is lost.

        The output from before the cut can still be read from `lines`, up to `GuestDied`.
        """
        if self._process.returncode is not None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # The kernel has helper processes (one writes to the disks). When all are dead, the line has no other
        # end.
        self._line.settimeout(BOOT_TIMEOUT_S)
        with contextlib.suppress(ConnectionResetError):
            while data := self._line.recv(65536):
                self._received += data

    def _send(self, argv: Sequence[str | Path], env: Mapping[str, str], stdin: str, *, straight: bool) -> None:
        """Send one request."""
        # The request goes through a file, because the guest's console drops what comes faster than it is
        # read.
        self._requests += 1
        request = self._directory / f"request-{self._requests}"
        words = [str(word) for word in argv]
        request.write_text(json.dumps({"argv": words, "env": dict(env), "stdin": stdin, "straight": straight}))
        try:
            self._line.sendall(bytes(request) + b"\n")
        except BrokenPipeError:
            raise self._death("the guest is dead") from None

    def _answers(self, timeout_s: float, *, straight: bool) -> Iterator[bytes]:
        """Yield the events that arrive until the command ends."""
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
    """Return the command prefix that runs a guest on one processor, with priority.

    The guest's kernel and processes are processes of this machine that always wait for each other. A guest is
    three to five times slower if they wake each other on another processor, or behind other work. All guests
    share one processor, so that the rest of the machine stays usable.
    """
    processor = max(os.sched_getaffinity(0))
    return ("chrt", "--rr", "1", "taskset", "--cpu-list", str(processor)) if _may_come_first() else ()


@functools.cache
def _may_come_first() -> bool:
    """Return whether this machine permits a higher priority; some containers do not, and are slow."""
    return subprocess.run(["chrt", "--rr", "1", "true"], check=False, capture_output=True).returncode == 0


def _memory_directory(memory_mib: int) -> str:
    """Return the directory of the guest's memory: in RAM if there is space (/dev/shm can be small)."""
    shared = os.statvfs("/dev/shm")
    return "/dev/shm" if shared.f_bavail * shared.f_frsize > memory_mib << 20 else tempfile.gettempdir()
