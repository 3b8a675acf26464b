"""What is mounted, from the kernel's mountinfo, read each time and never remembered. See proc_pid_mountinfo(5).

EBUSY protects nobody: umount(2) succeeds here while a container reads its bind copy in a mount namespace of its own
(engine fact 24). So use is looked up where it is: in the mountinfo of every mount namespace of the host.
"""

import errno
import os
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from pyvol.core.errors import StorageFailed
from pyvol.core.exports import masked
from pyvol.core.model import MountUser

ESCAPE = re.compile(r"\\([0-7]{3})")
SPECIAL = re.compile(r"[ \t\n\\]")

FLAGS_AFTER_NAME = 6
"""Where the flags stand in proc_pid_stat(5), behind the name, which may hold anything."""
PF_KTHREAD = 0x200000


class Mount(NamedTuple):
    """One line of mountinfo.

    Attributes:
        mount_id: unique in its namespace.
        device: ``major:minor`` of the file system.
        root: the directory of the file system that is shown; of NFS, whose root always reads as ``/``, the source,
            which of a bind names the directory on the server.
        mountpoint: where it is shown, as its namespace sees it.
        group: the peer group with which it shares what is mounted below it; empty for none.
    """

    mount_id: int
    device: str
    root: str
    mountpoint: str
    group: str


class KernelMounts:
    """The mounts of this host. Implements `pyvol.core.ports.MountTable`."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc

    def users(self, path: str) -> list[MountUser]:
        """Return who has the directory, or one below it, mounted elsewhere; empty when it doesn't exist.

        Covers each mount namespace that has a process, once. In a namespace that shows our own root, at its own or at a
        place such as /host, a mount at the same place below it as one of ours is no use: it came along with the root.

        Where our root is not the host's, for we run in a container ourselves, a directory on which something is mounted
        is mounted on the host too, and was shown to us from there. That is no use either.

        Raises:
            StorageFailed: the kernel does not tell, so nobody may take the directory for unused.
        """
        try:
            return self._users(path)
        except OSError as error:
            raise _untold(path, error) from error

    def _users(self, path: str) -> list[MountUser]:
        own = self._table("self")
        source = self._source(path, own)
        if source is None:
            return []
        beside = os.path.dirname(path)
        # Most namespaces don't have it, which one search of their text tells; parsing it takes ten times as long.
        device, root = source
        sought = _sought(device, root)
        ours = _parsed(own) if sought in own else []
        is_mountpoint = any(mount.mountpoint == path for mount in ours)
        # What a managed plugin is shown of the host by a bind at this place, the host itself has elsewhere.
        host = self.host() if is_mountpoint else None
        host_root = _at_root(self.read(host)) if host else None
        from_host = host_root is not None and host_root != _at_root(ours)
        elsewhere = [mount.mountpoint for mount in _of(ours, device, root) if mount.mountpoint != path]
        if any(os.path.dirname(place) == beside for place in elsewhere) and not from_host:
            # Two of our own mounts of one thing: whose a container's bind is cannot be told.
            return []
        # A mountpoint is one mount of a thing: where this host has that mounted too, such as the disk of a bind, or an
        # export in fstab, it stays mounted when ours goes, and nothing in it is lost.
        found = [] if is_mountpoint else [MountUser(os.getpid(), "this host", place) for place in elsewhere]
        for pid, table in self._other_tables():
            if sought in table:
                mounts, all_ours = _parsed(table), _parsed(own)
                tops = _showing(mounts, _at_root(all_ours))
                came_along = {
                    (device, mount.root, f"{top}{mount.mountpoint}")
                    for mount in _of(all_ours, device, root)
                    for top in tops
                }
                found += [
                    MountUser(int(pid), self._command(pid), mount.mountpoint)
                    for mount in _of(mounts, device, root)
                    if _shown(mount) not in came_along
                    and not any(from_host and _is_below(mount, top) for top in _showing(mounts, host_root))
                ]
        return found

    def might_use(self, paths: Collection[str]) -> bool:
        """Tell whether anybody could have one of many directories that lie together; False is certain, and quick.

        Who has one of them has a directory below the one that holds them all: to look for that takes no more than for
        one of them. Raises `StorageFailed` as `users` does.
        """
        above = os.path.commonpath(paths)
        try:
            own = self._table("self")
            source = self._source(above, own)
            if source is None:
                return False
            sought = _sought(*source)
            return sought in own or any(sought in table for _, table in self._other_tables())
        except OSError as error:
            raise _untold(above, error) from error

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

    def host(self) -> str | None:
        """Return the nearest ancestor in another mount namespace, which put us into ours; None when none is seen."""
        own = os.readlink(f"{self._proc}/self/ns/mnt")
        try:
            pid = self._parent("self")
            while pid != "0":
                if os.readlink(f"{self._proc}/{pid}/ns/mnt") != own:
                    return pid
                pid = self._parent(pid)
        except OSError:  # ended since, or not ours to see
            return None
        return None

    def _parent(self, pid: str) -> str:
        with open(f"{self._proc}/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[1]

    def sees_host(self) -> bool:
        """Tell whether the host's processes can be seen at all: in a process namespace of our own they can't."""
        return "1" not in {str(os.getpid()), str(os.getppid())}

    def read(self, pid: str) -> list[Mount]:
        """Return the mounts that a process sees; empty when it has ended."""
        return _parsed(self._table(pid))

    def device(self, path: str) -> str | None:
        """Return ``major:minor`` of the file system that has a directory; None when there is none. Raises OSError.

        Subvolumes of one btrfs have the same, which stat(2) does not tell.
        """
        source = self._source(path, self._table("self"))
        return source and source[0]

    def is_mountpoint(self, path: str) -> bool:
        """Tell whether something is mounted at a place, by this process's mounts."""
        return f" {_escape(path)} " in self._table("self")

    def describe(self, path: str) -> str:
        """Return source, file system and options of what is mounted last at a place, for people; empty for nothing."""
        lines = [line for line in self._table("self").splitlines() if f" {_escape(path)} " in line]
        if not lines:
            return ""
        kind, source, options = lines[-1].partition(" - ")[2].split(" ")[:3]
        return f"{_unescape(source)} {kind} ({masked(options)})"

    def _table(self, pid: str) -> str:
        """Return the mountinfo of a process; empty when it has ended."""
        try:
            with open(f"{self._proc}/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
                return table.read()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        except OSError as error:
            if error.errno == errno.EINVAL:  # a zombie has no namespace any more
                return ""
            raise

    def _source(self, path: str, own: str) -> tuple[str, str] | None:
        """Return the device, and the path on it, of a directory: what `root` says of a bind of it.

        Asked by mount ID, not by device number: stat(2) tells other numbers than mountinfo on btrfs.
        """
        remote = _remote(path, own)
        if remote is not None:
            return remote
        try:
            descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            with open(f"{self._proc}/self/fdinfo/{descriptor}", encoding="ascii") as lines:
                mount_id = next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
            real = os.readlink(f"{self._proc}/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        line = next((line for line in own.split("\n") if line.startswith(f"{mount_id} ")), None)
        if line is None:  # mounted since the table was read
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)
        mount = _parse(line)
        below = os.path.relpath(real, mount.mountpoint)
        return mount.device, os.path.normpath(os.path.join(mount.root, below))

    def _other_tables(self) -> Iterator[tuple[str, str]]:
        """Yield each other mount namespace's mountinfo, and a process that lives in it."""
        # readlink(2) and not stat(2), which takes twice as long here; a host has hundreds of processes.
        seen = {os.readlink(f"{self._proc}/self/ns/mnt")}
        kernel_threads = self._kernel_threads()
        for pid in os.listdir(self._proc):
            if pid.isdigit() and pid not in kernel_threads:
                try:
                    namespace = os.readlink(f"{self._proc}/{pid}/ns/mnt")
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue  # ended since, or not ours to see: `unseen` tells
                if namespace not in seen and (table := self._table(pid)):  # another may live in it, where one has ended
                    seen.add(namespace)
                    yield pid, table

    def _kernel_threads(self) -> frozenset[str]:
        """Return the children of kthreadd, often half of all processes: they run no containers.

        In a PID namespace of its own, process 2 is somebody else; what tells kthreadd nobody can feign.
        """
        try:
            with open(f"{self._proc}/2/stat", encoding="utf-8", errors="replace") as stat:
                flags = int(stat.read().rpartition(")")[2].split()[FLAGS_AFTER_NAME])
            if not flags & PF_KTHREAD:
                return frozenset()
            with open(f"{self._proc}/2/task/2/children", encoding="ascii") as children:
                return frozenset(children.read().split())
        except OSError:  # the kernel was built without the list: all are looked at
            return frozenset()

    def _command(self, pid: str) -> str:
        try:
            with open(f"{self._proc}/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                return comm.read().strip()
        except OSError:
            return "a process"


def _sought(device: str, root: str) -> str:
    """Return what stands in a table that has a directory, or one below it."""
    return f" {device} {_escape(root)}" if root.startswith("/") else f" {_escape(root)}"


def _untold(path: str, error: OSError) -> StorageFailed:
    return StorageFailed(
        f"who uses {path} cannot be told ({error.strerror}), so it is taken for used: see `pyvol doctor`"
    )


def _parsed(table: str) -> list[Mount]:
    return [_parse(line) for line in table.split("\n") if line]


def _remote(path: str, own: str) -> tuple[str, str] | None:
    """Return the same for a path on a server's file system, by its letters alone: to open it could take for ever."""
    if " - nfs" not in own:
        return None
    below = None
    for line in own.splitlines():
        mount = _parse(line)
        inside = f"{path}/".startswith(mount.mountpoint.rstrip("/") + "/")
        if inside and (below is None or len(mount.mountpoint) >= len(below[0].mountpoint)):
            below = (mount, " - nfs" in line)
    if below is None or not below[1]:
        return None
    mount = below[0]
    inner = path.removeprefix(mount.mountpoint.rstrip("/")).strip("/")
    return mount.device, f"{mount.root.rstrip('/')}/{inner}" if inner else mount.root


def _parse(line: str) -> Mount:
    fields = line.split(" ")
    root = fields[3]
    if " - nfs" in line:
        root = line.partition(" - ")[2].split(" ")[1]
    group = next((field for field in fields[6 : fields.index("-")] if field.startswith("shared:")), "")
    return Mount(int(fields[0]), fields[2], _unescape(root), _unescape(fields[4]), group)


def _shown(mount: Mount) -> tuple[str, str, str]:
    return mount.device, mount.root, mount.mountpoint


def _escape(path: str) -> str:
    """Return the path as the kernel writes it into mountinfo."""
    return SPECIAL.sub(lambda match: f"\\{ord(match[0]):03o}", path)


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    return ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)


def _at_root(mounts: list[Mount]) -> tuple[str, str] | None:
    """Return device and root of what a namespace has at ``/``; the last one mounted there is the one that is seen."""
    return next(((mount.device, mount.root) for mount in reversed(mounts) if mount.mountpoint == "/"), None)


def _showing(mounts: list[Mount], top: tuple[str, str] | None) -> list[str]:
    """Return where a namespace shows the root of another one; without a slash at the end, so that a path can follow."""
    places = [mount.mountpoint for mount in mounts if (mount.device, mount.root) == top and mount.mountpoint != "/"]
    return [*places, ""] if top is not None and _at_root(mounts) == top else places


def _is_below(mount: Mount, place: str) -> bool:
    return mount.mountpoint.startswith(f"{place}/")


def _of(mounts: list[Mount], device: str, root: str) -> Iterator[Mount]:
    below = root.rstrip("/") + "/"
    return (mount for mount in mounts if mount.device == device and f"{mount.root}/".startswith(below))
