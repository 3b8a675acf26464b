"""What is mounted, from the kernel's mountinfo, read each time and never remembered. See proc_pid_mountinfo(5).

EBUSY protects nobody: umount(2) succeeds here while a container reads its bind copy in a mount namespace of its own
(engine fact 24). So use is looked up where it is: in the mountinfo of every mount namespace of the host.
"""

import errno
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from pyvol.core.errors import StorageFailed
from pyvol.core.model import MountUser

ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of mountinfo.

    Attributes:
        mount_id: unique in its namespace.
        device: ``major:minor`` of the file system.
        root: the directory of the file system that is shown.
        mountpoint: where it is shown, as its namespace sees it.
    """

    mount_id: int
    device: str
    root: str
    mountpoint: str


class KernelMounts:
    """The mounts of this host. Implements `pyvol.core.ports.MountTable`."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc

    def users(self, path: str) -> list[MountUser]:
        """Return who has the directory, or one below it, mounted elsewhere; empty when it doesn't exist.

        Covers each mount namespace that has a process, once. In a namespace that shows our own root a mount at the same
        place as one of ours is no use: it began as a copy of ours.

        Where our root is not the host's, for we run in a container ourselves, a directory on which something is mounted
        is mounted on the host too, and was shown to us from there. That is no use either.

        Raises:
            StorageFailed: the kernel does not tell, so nobody may take the directory for unused.
        """
        try:
            return self._users(path)
        except OSError as error:
            raise StorageFailed(
                f"who uses {path} cannot be told ({error.strerror}), so it is taken for used: see `pyvol doctor`"
            ) from error

    def _users(self, path: str) -> list[MountUser]:
        own = self.read("self")
        source = self._source(path, own)
        if source is None:
            return []
        device, root = source
        inherited = {mount[1:] for mount in own}
        our_root = _at_root(own)
        host_root = _at_root(self.read("1")) or our_root
        from_host = our_root != host_root and any(mount.mountpoint == path for mount in own)
        found = [
            MountUser(os.getpid(), "this host", mount.mountpoint)
            for mount in _of(own, device, root)
            if mount.mountpoint != path and not from_host
        ]
        for pid in self._one_pid_a_namespace():
            mounts = self.read(pid)
            is_copy = _at_root(mounts) == our_root
            if from_host and _at_root(mounts) == host_root:
                continue
            found += [
                MountUser(int(pid), self._command(pid), mount.mountpoint)
                for mount in _of(mounts, device, root)
                if not (is_copy and mount[1:] in inherited)
            ]
        return found

    def unseen(self) -> list[str]:
        """Return the processes whose mount namespace can't be told: pyvol lacks CAP_SYS_PTRACE over them.

        Process 1 is left out; no container runs in its namespace.
        """
        pids = []
        for pid in os.listdir(self._proc):
            if pid.isdigit() and pid != "1":
                try:
                    os.readlink(f"{self._proc}/{pid}/ns/mnt")
                except PermissionError:
                    pids.append(pid)
                except (FileNotFoundError, ProcessLookupError):
                    pass
        return pids

    def sees_host(self) -> bool:
        """Tell whether the host's processes can be seen at all: in a process namespace of our own they can't."""
        return "1" not in {str(os.getpid()), str(os.getppid())}

    def read(self, pid: str) -> list[Mount]:
        """Return the mounts that a process sees; empty when it has ended."""
        try:
            with open(f"{self._proc}/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
                return [_parse(line) for line in lines]
        except (FileNotFoundError, ProcessLookupError):
            return []
        except OSError as error:
            if error.errno == errno.EINVAL:  # a zombie has no namespace any more
                return []
            raise

    def _source(self, path: str, own: list[Mount]) -> tuple[str, str] | None:
        """Return the device, and the path on it, of a directory: what `root` says of a bind of it.

        Asked by mount ID, not by device number: stat(2) tells other numbers than mountinfo on btrfs.
        """
        try:
            descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            with open(f"{self._proc}/self/fdinfo/{descriptor}", encoding="ascii") as lines:
                mount_id = next(int(line.split()[1]) for line in lines if line.startswith("mnt_id:"))
            real = os.readlink(f"{self._proc}/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        mount = next((mount for mount in own if mount.mount_id == mount_id), None)
        if mount is None:  # mounted since the table was read
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)
        below = os.path.relpath(real, mount.mountpoint)
        return mount.device, os.path.normpath(os.path.join(mount.root, below))

    def _one_pid_a_namespace(self) -> Iterator[str]:
        # readlink(2) and not stat(2), which takes twice as long here; a host has hundreds of processes.
        seen = {os.readlink(f"{self._proc}/self/ns/mnt")}
        for pid in os.listdir(self._proc):
            if pid.isdigit():
                try:
                    namespace = os.readlink(f"{self._proc}/{pid}/ns/mnt")
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue  # ended since, or not ours to see: `unseen` tells
                if namespace not in seen:
                    seen.add(namespace)
                    yield pid

    def _command(self, pid: str) -> str:
        try:
            with open(f"{self._proc}/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                return comm.read().strip()
        except OSError:
            return "a process"


def _parse(line: str) -> Mount:
    fields = line.split(" ")
    return Mount(int(fields[0]), fields[2], _unescape(fields[3]), _unescape(fields[4]))


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    return ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)


def _at_root(mounts: list[Mount]) -> tuple[str, str] | None:
    """Return device and root of what a namespace has at ``/``; the last one mounted there is the one that is seen."""
    return next(((mount.device, mount.root) for mount in reversed(mounts) if mount.mountpoint == "/"), None)


def _of(mounts: list[Mount], device: str, root: str) -> Iterator[Mount]:
    below = root.rstrip("/") + "/"
    return (mount for mount in mounts if mount.device == device and f"{mount.root}/".startswith(below))
