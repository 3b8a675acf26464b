"""What is mounted, from the kernel's mountinfo, read each time and never remembered. See proc_pid_mountinfo(5).

EBUSY protects nobody: umount(2) succeeds here while a container reads its bind copy in a mount namespace of its own
(engine fact 24). So use is looked up where it is: in the mountinfo of every mount namespace of the host.
"""

import errno
import os
from collections.abc import Collection, Iterator

from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import MountUser
from pyvol.host.mounts import mountinfo
from pyvol.host.mounts.mountinfo import Mount

FLAGS_AFTER_NAME = 6
"""Where the flags stand in proc_pid_stat(5), behind the name, which may hold anything."""
PF_KTHREAD = 0x200000


class KernelMounts:
    """The mounts of this host. Implements `pyvol.core.ports.host.MountTable`."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc

    def users(self, path: str) -> list[MountUser]:
        """Return who has the directory, or one below it, mounted elsewhere; empty when it doesn't exist.

        Covers each mount namespace that has a process, once. A mount on the very directory on which we have it too is
        no use: it came along with a directory above, such as our root at its own place or at /host, or a whole pool.

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
        sought = mountinfo.sought(device, root)
        having = [(pid, table) for pid, table in self._other_tables() if sought in table]
        ours = mountinfo.parse(own) if having or sought in own else []
        is_mountpoint = any(mount.mountpoint == path for mount in ours)
        # What a managed plugin is shown of the host by a bind at this place, the host itself has elsewhere.
        host = self.host() if is_mountpoint else None
        host_root = mountinfo.at_root(self.read(host)) if host else None
        from_host = host_root is not None and host_root != mountinfo.at_root(ours)
        elsewhere = [mount for mount in mountinfo.mounts_of(device, root, ours) if mount.mountpoint != path]
        if any(os.path.dirname(mount.mountpoint) == beside for mount in elsewhere) and not from_host:
            # Two of our own mounts of one thing: whose a container's bind is cannot be told.
            return []
        # A mountpoint is one mount of a thing: where this host has that mounted too, such as the disk of a bind, or an
        # export in fstab, it stays mounted when ours goes, and nothing in it is lost.
        found = [] if is_mountpoint else [MountUser(os.getpid(), "this host", mount.mountpoint) for mount in elsewhere]
        came_along = {mountinfo.origin(mount, ours) for mount in mountinfo.mounts_of(device, root, ours)}
        for pid, table in having:
            mounts = mountinfo.parse(table)
            hosts = mountinfo.places_of(host_root, mounts) if from_host else []
            found += [
                MountUser(int(pid), self._command(pid), mount.mountpoint)
                for mount in mountinfo.mounts_of(device, root, mounts)
                if mountinfo.origin(mount, mounts) not in came_along
                and not any(mount.mountpoint.startswith(f"{top}/") for top in hosts)
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
            sought = mountinfo.sought(*source)
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

    def seen_by(self, pid: str, path: str) -> str:
        """Return our path of what a process of another mount namespace has at a path."""
        return f"{self._proc}/{pid}/root{path}"

    def _parent(self, pid: str) -> str:
        with open(f"{self._proc}/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[1]

    def sees_host(self) -> bool:
        """Tell whether the host's processes can be seen at all: in a process namespace of our own they can't."""
        return "1" not in {str(os.getpid()), str(os.getppid())}

    def read(self, pid: str) -> list[Mount]:
        """Return the mounts that a process sees; empty when it has ended."""
        return mountinfo.parse(self._table(pid))

    def device(self, path: str) -> str | None:
        """Return ``major:minor`` of the file system that has a directory; None when there is none. Raises OSError.

        Subvolumes of one btrfs have the same, which stat(2) does not tell.
        """
        source = self._source(path, self._table("self"))
        return source and source[0]

    def is_mountpoint(self, path: str) -> bool:
        """Tell whether something is mounted at a place, by this process's mounts."""
        return bool(mountinfo.lines_at(self._table("self"), path))

    def holding(self, path: str) -> str:
        """Return the nearest mountpoint above a path, by the letters of both."""
        table = self._table("self")
        place = f"/{os.path.normpath(path).lstrip('/')}"
        while place != "/" and not mountinfo.lines_at(table, place):
            place = os.path.dirname(place)
        return place

    def describe(self, path: str) -> str:
        """Return source, file system and options of what is mounted last at a place, for people; empty for nothing."""
        lines = mountinfo.lines_at(self._table("self"), path)
        return mountinfo.describe(lines[-1]) if lines else ""

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
        remote = mountinfo.find_remote(own, path)
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
        mount = mountinfo.parse_line(line)
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


def _untold(path: str, error: OSError) -> StorageFailed:
    return StorageFailed(
        f"who uses {path} cannot be told ({error.strerror}), so it is taken for used: see `pyvol doctor`"
    )
