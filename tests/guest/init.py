"""Pid 1 of a guest: makes this machine's files the root, copy-on-write, then runs the agent or systemd.

It is Python because a shell forks one program per mount, and a guest forks slowly. It uses only the standard
library. Its one argument is the settings file that `uml.Guest` writes. systemd in turn runs the agent.
"""

import atexit
import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import sys
from pathlib import Path
from typing import TypedDict

LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 1, 4096, 16384, 1 << 18, 1 << 20
SYS_PIVOT_ROOT = 155
RB_POWER_OFF = 0x4321FEDC
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

AGENT_UNIT = """
[Unit]
After=basic.target
FailureAction=poweroff-immediate
SuccessAction=poweroff-immediate
[Service]
ExecStart={agent}
StandardInput=tty
StandardOutput=tty
StandardError=journal+console
TTYPath=/dev/tty1
"""

GUEST_TARGET = """
[Unit]
Requires=basic.target systemd-journald.service guest-agent.service
After=basic.target
"""


class Settings(TypedDict):
    """The host's settings for this boot."""

    kernel_modules: str
    agent: list[str]
    systemd: bool
    writable: list[str]


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system on a directory, and create the directory if it is missing."""
    Path(target).mkdir(parents=True, exist_ok=True)
    if LIBC.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), f"mount {kind} on {target}")


def make_root_writable(kernel_modules: str) -> None:
    """Change root to an overlay: the machine's files (hostfs, read-only) below a tmpfs of the guest."""
    mount("tmpfs", "/mnt", "tmpfs", options="size=80%")
    for name in ("upper", "work", "root"):
        Path("/mnt", name).mkdir()
    # modprobe gets its own directory: a machine without a kernel package has no /lib/modules to mount over.
    mount(kernel_modules, "/mnt/lib/modules", flags=MS_BIND)
    if os.spawnlp(os.P_WAIT, "modprobe", "modprobe", "-d", "/mnt", "overlay") != 0:  # noqa: S606
        raise RuntimeError("no overlay module")
    mount("overlay", "/mnt/root", "overlay", options="lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work")
    mount("", "/", flags=MS_REC | MS_PRIVATE)
    os.chdir("/mnt/root")
    Path(".host").mkdir()
    if LIBC.syscall(SYS_PIVOT_ROOT, b".", b".host") != 0:
        raise OSError(ctypes.get_errno(), "pivot_root")
    os.chdir("/")


def mount_system(settings: Settings) -> None:
    """Mount the file systems that each Linux system has, and the directories shared with the host."""
    mount("proc", "/proc", "proc")
    mount("sys", "/sys", "sysfs")
    mount("dev", "/dev", "devtmpfs")
    mount("devpts", "/dev/pts", "devpts", options="gid=5,mode=620,ptmxmode=666")
    mount("shm", "/dev/shm", "tmpfs")
    mount("run", "/run", "tmpfs", options="mode=755")
    Path("/run/lock").mkdir()
    mount("/.host" + settings["kernel_modules"], "/lib/modules", flags=MS_BIND)
    for directory in settings["writable"]:
        mount("none", directory, "hostfs", options=directory)
    mount("", "/", flags=MS_REC | MS_SHARED)
    socket.sethostname("guest")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as loopback:
        fcntl.ioctl(loopback, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def become_systemd(agent: list[str]) -> None:
    """Run systemd and its journal, but none of this machine's services, which cost seconds."""
    etc, usr = Path("/etc/systemd/system"), Path("/usr/lib/systemd/system")
    generators = Path("/usr/lib/systemd/system-generators")
    for unwanted in (*etc.glob("*.wants"), *etc.glob("*.requires"), *usr.glob("*.wants"), generators):
        shutil.rmtree(unwanted)
    Path("/.dockerenv").unlink(missing_ok=True)
    Path("/etc/fstab").write_text("")
    (etc / "guest-agent.service").write_text(AGENT_UNIT.format(agent=" ".join(agent)))
    (etc / "guest.target").write_text(GUEST_TARGET)
    arguments = ["systemd", "--unit=guest.target", "--show-status=no", "--log-level=warning"]
    os.execv("/lib/systemd/systemd", arguments)  # noqa: S606


def run_agent(agent: list[str]) -> None:
    """Run the agent on the first console until it ends, and reap the orphans of its commands."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        line = os.open("/dev/tty1", os.O_RDWR)
        os.dup2(line, 0)
        os.dup2(line, 1)
        os.execv(agent[0], agent)  # noqa: S606
    while os.wait()[0] != pid:
        pass


def main() -> None:
    """Start the guest, and power it off at the end."""
    settings: Settings = json.loads(Path(sys.argv[1]).read_text())
    # If pid 1 ends, also by an exception, the kernel panics, and its trace hides the reason.
    atexit.register(LIBC.reboot, RB_POWER_OFF)
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    make_root_writable(settings["kernel_modules"])
    mount_system(settings)
    if settings["systemd"]:
        become_systemd(settings["agent"])
    else:
        run_agent(settings["agent"])


if __name__ == "__main__":
    main()
