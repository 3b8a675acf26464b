"""The mounts of this host, read from the kernel's mountinfo each time and never cached.

See proc_pid_mountinfo(5).

EBUSY does not protect a volume: umount(2) succeeds on the host while a container uses its bind copy in
another mount namespace (engine fact 24). To find the users of a volume, this module reads the mountinfo of
every mount namespace.
"""

import errno
import os
from collections.abc import Collection, Iterator

from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import MountUser
from pyvol.host.mounts import mountinfo
from pyvol.host.mounts.mountinfo import Mount

FLAGS_AFTER_NAME = 6
"""The field of the flags in proc_pid_stat(5), counted after the name: the name can contain any character."""
PF_KTHREAD = 0x200000


class KernelMounts:
    """The mounts of this host. Implements `pyvol.core.ports.host.MountTable`."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc

    def users(self, path: str) -> list[MountUser]:
        """Return the processes with another mount of the directory, or of one below it.

        Empty if the directory does not exist.

        Looks at each mount namespace that has a process. A copy of a mount that pyvol has too does not count:
        the copy came with a directory above, such as the root at / or at /host, or a whole pool.

        If pyvol runs in a container, its root is not the host's, and the mounts that it sees are mounted on
        the host too. The host's own mount does not count either.

        Raises:
            StorageFailed: the kernel gives no answer, so the directory must be treated as used.
        """
        try:
            return self._users(path)
        except OSError as error:
            raise _unknown(path, error) from error

    def _users(self, path: str) -> list[MountUser]:
        own = self._table("self")
        source = self._source(path, own)
        if source is None:
            return []
        beside = os.path.dirname(path)
        # Most namespaces do not have it. Searching their text is ten times faster than parsing it.
        device, root = source
        sought = mountinfo.sought(device, root)
        having = [(pid, table) for pid, table in self._other_tables() if sought in table]
        ours = mountinfo.parse(own) if having or sought in own else []
        is_mountpoint = any(mount.mountpoint == path for mount in ours)
        # A managed plugin sees a directory of the host through a bind here; the host has it at another path.
        host = self.host() if is_mountpoint else None
        host_root = mountinfo.at_root(self.read(host)) if host else None
        from_host = host_root is not None and host_root != mountinfo.at_root(ours)
        elsewhere = [mount for mount in mountinfo.mounts_of(device, root, ours) if mount.mountpoint != path]
        if any(os.path.dirname(mount.mountpoint) == beside for mount in elsewhere) and not from_host:
            # pyvol has two mounts of one directory: it is not known to which of them the bind of a container
            # belongs.
            return []
        # If the host has the same file system mounted elsewhere, such as the disk of a bind or an export in
        # fstab, it stays mounted when pyvol unmounts its own mount, and nothing in it is lost.
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
        """Return whether a process could have one of several directories mounted; False is certain.

        Looks for mounts below the directory that contains all of them, which takes as long as looking for one
        of them. Raises `StorageFailed` as `users` does.
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
            raise _unknown(above, error) from error

    def unseen(self) -> list[str]:
        """Return the processes whose mount namespace pyvol may not see: it lacks CAP_SYS_PTRACE over them.

        Leaves process 1 out: no container runs in its namespace.
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
        """Return the nearest visible ancestor process in another mount namespace; None if there is none."""
        own = os.readlink(f"{self._proc}/self/ns/mnt")
        try:
            pid = self._parent("self")
            while pid != "0":
                if os.readlink(f"{self._proc}/{pid}/ns/mnt") != own:
                    return pid
                pid = self._parent(pid)
        except OSError:  # the process has ended, or pyvol may not see it
            return None
        return None

    def seen_by(self, pid: str, path: str) -> str:
        """Return the path under which this process sees a path of a process in another mount namespace."""
        return f"{self._proc}/{pid}/root{path}"

    def _parent(self, pid: str) -> str:
        with open(f"{self._proc}/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[1]

    def sees_host(self) -> bool:
        """Return whether pyvol sees the processes of the host; in its own process namespace it does not."""
        return "1" not in {str(os.getpid()), str(os.getppid())}

    def read(self, pid: str) -> list[Mount]:
        """Return the mounts that a process sees; empty if it has ended."""
        return mountinfo.parse(self._table(pid))

    def device(self, path: str) -> str | None:
        """Return ``major:minor`` of a directory's file system; None if the directory is missing.

        Raises OSError.

        Subvolumes of one btrfs have the same number here, but different ones in stat(2).
        """
        source = self._source(path, self._table("self"))
        return source and source[0]

    def below(self, path: str) -> list[str]:
        """Return the mountpoints below a directory, by its own path.

        Does not touch a server's file system.
        """
        table = self._table("self")
        real = path if mountinfo.find_remote(table, path) else os.path.realpath(path)
        if not mountinfo.has_below(table, real):  # parsing hundreds of lines takes much longer
            return []
        places = [mount.mountpoint for mount in mountinfo.parse(table)]
        return [f"{path}{place.removeprefix(real)}" for place in places if place.startswith(f"{real}/")]

    def is_mountpoint(self, path: str) -> bool:
        """Return whether this process has a mount at a path."""
        return bool(mountinfo.lines_at(self._table("self"), path))

    def nearest_mountpoint(self, path: str) -> str:
        """Return the nearest mountpoint at or above a path; compares only paths."""
        table = self._table("self")
        place = f"/{os.path.normpath(path).lstrip('/')}"
        while place != "/" and not mountinfo.lines_at(table, place):
            place = os.path.dirname(place)
        return place

    def describe(self, path: str) -> str:
        """Return source, file system and options of the last mount at a path, for people.

        Empty if nothing is mounted there.
        """
        lines = mountinfo.lines_at(self._table("self"), path)
        return mountinfo.describe(lines[-1]) if lines else ""

    def _table(self, pid: str) -> str:
        """Return the mountinfo of a process; empty if it has ended."""
        try:
            with open(f"{self._proc}/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
                return table.read()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        except OSError as error:
            if error.errno == errno.EINVAL:  # a zombie has no namespace
                return ""
            raise

    def _source(self, path: str, own: str) -> tuple[str, str] | None:
        """Return the device of a directory, and the path on it: the `root` that a bind of the directory has.

        Finds the mount by its ID and not by its device number: on btrfs, stat(2) and mountinfo have different
        numbers.
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
        if line is None:  # it was mounted after the table was read
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)
        mount = mountinfo.parse_line(line)
        below = os.path.relpath(real, mount.mountpoint)
        return mount.device, os.path.normpath(os.path.join(mount.root, below))

    def _other_tables(self) -> Iterator[tuple[str, str]]:
        """Yield the mountinfo of each other mount namespace, with one of its processes."""
        # readlink(2) takes half as long as stat(2) here; a host has hundreds of processes.
        seen = {os.readlink(f"{self._proc}/self/ns/mnt")}
        kernel_threads = self._kernel_threads()
        for pid in os.listdir(self._proc):
            if pid.isdigit() and pid not in kernel_threads:
                try:
                    namespace = os.readlink(f"{self._proc}/{pid}/ns/mnt")
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue  # the process has ended, or pyvol may not see it: see `unseen`
                if namespace not in seen and (
                    table := self._table(pid)
                ):  # if this process has ended, another one may be in the namespace
                    seen.add(namespace)
                    yield pid, table

    def _kernel_threads(self) -> frozenset[str]:
        """Return the children of kthreadd, often half of all processes: they run no containers.

        In another PID namespace, process 2 is not kthreadd. The flag of a kernel thread cannot be forged.
        """
        try:
            with open(f"{self._proc}/2/stat", encoding="utf-8", errors="replace") as stat:
                flags = int(stat.read().rpartition(")")[2].split()[FLAGS_AFTER_NAME])
            if not flags & PF_KTHREAD:
                return frozenset()
            with open(f"{self._proc}/2/task/2/children", encoding="ascii") as children:
                return frozenset(children.read().split())
        except OSError:  # the kernel was built without the list: look at all processes
            return frozenset()

    def _command(self, pid: str) -> str:
        try:
            with open(f"{self._proc}/{pid}/comm", encoding="utf-8", errors="replace") as comm:
                return comm.read().strip()
        except OSError:
            return "a process"


def _unknown(path: str, error: OSError) -> StorageFailed:
    return StorageFailed(
        f"pyvol cannot find out what uses {path} ({error.strerror}), so it treats {path} as used: see `pyvol doctor`"
    )
