"""Mounted volumes: the containers of each share one mount(8), which ends after the last container.

<root>/mounts/<name>     where it is mounted, in the host's mount namespace, so that the engine finds it there
"""

import errno
import os
from contextlib import suppress

from pyvol.core.errors import StorageFailed, naming
from pyvol.core.model import mount_spec
from pyvol.core.model.mount_spec import NfsExport
from pyvol.core.model.volume import MountType, Space, Volume
from pyvol.core.ports.pool import Condition
from pyvol.host.files import directories
from pyvol.host.mounts import mount
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.mounts.stale_mounts import PASSING
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.remote.mount_messages import MountExport, OwnMount, Unmount
from pyvol.storage.remote.server import Server
from pyvol.storage.remote.servers import Servers


class MountedVolumes:
    """The mounts of one pool's mounted volumes.

    Args:
        directory: where they are mounted.
        servers: those that exports are on.
        mounts: what the kernel says is mounted.
    """

    def __init__(self, directory: str, servers: Servers, mounts: KernelMounts) -> None:
        self._directory = directory
        self._servers = servers
        self._mounts = mounts
        self._spaces: dict[str, Space] = {}  # of exports, when they were last mounted, by the volume's id

    def mountpoint(self, volume: Volume) -> str:
        """Return where a volume is mounted, or would be. Does no I/O."""
        return f"{self._directory}/{volume.name}"

    def attached(self) -> frozenset[str]:
        """Return the names of the volumes that are mounted."""
        prefix = f"{self._directory}/"
        found = (mount.mountpoint for mount in self._mounts.read("self"))
        names = (path.removeprefix(prefix) for path in found if path.startswith(prefix))
        return frozenset(name for name in names if not name.startswith(PASSING))

    def attach(self, volume: Volume) -> str:
        """Mount a volume if it is not mounted, and return where it is. Raises `StorageFailed`."""
        target = self.mountpoint(volume)
        with storage_errors("cannot be mounted", volume=volume.name):
            directories.make(self._directory)  # with a mode that lets only root list the volumes' names
        export = mount_spec.of(volume.spec)
        if export is None:
            self._attach_here(volume, target)
            return target
        spec = volume.spec
        server = self._server(export)
        with naming(volume.name, "cannot be mounted"):
            if volume.name in self.attached():
                try:
                    self._spaces[volume.id] = server.ask(
                        OwnMount(volume.name, target, spec.uid, spec.gid, spec.mode), Space
                    )
                except StorageFailed as error:
                    if error.errno != errno.ESTALE:
                        raise
                    server.force(Unmount(target, mount.MNT_DETACH), bool)
                else:
                    return target
            request = MountExport(
                volume.name, str(spec.type), *export, target, spec.create, spec.uid, spec.gid, spec.mode
            )
            try:
                self._spaces[volume.id] = server.ask(request, Space)
            except StorageFailed:
                self._clear(target)
                raise
        return target

    def detach(self, volume: Volume) -> None:
        """Unmount a volume that is not used. Raises `StorageFailed`."""
        target = self.mountpoint(volume)
        export = mount_spec.of(volume.spec)
        with naming(volume.name, "cannot be unmounted"), storage_errors("cannot be unmounted", volume=volume.name):
            if export is None:
                mount.unmount(target)
            else:
                server = self._server(export)
                if server.is_down():
                    # When the server is back the kernel still sends what was written; umount -f would discard
                    # that.
                    server.force(Unmount(target, mount.MNT_DETACH), bool)
                else:
                    server.ask(Unmount(target), bool)
        self._clear(target)
        self._spaces.pop(volume.id, None)

    def problem(self, volume: Volume) -> str:
        """Return what is known of a volume's server while it does not answer. Does no I/O."""
        export = mount_spec.of(volume.spec)
        server = None if export is None else self._server(export)
        return server.summary() if server is not None and server.is_down() else ""

    def report(self, volume: Volume) -> dict[str, str]:
        """Return what is known of a volume's server and of its mount. Does no I/O."""
        export = mount_spec.of(volume.spec)
        facts = {} if export is None else {"server": self._server(export).summary()}
        mount, space = self._mounts.describe(self.mountpoint(volume)), self._spaces.get(volume.id)
        if mount:
            facts["mount"] = mount
        if space is not None:
            facts["room"] = f"{space.summary} when it was last mounted"
        return facts

    def condition(self) -> list[Condition]:
        """Return what is known of the servers that were asked for exports. Does no I/O."""
        return [server.condition() for server in self._servers.asked()]

    def _attach_here(self, volume: Volume, target: str) -> None:
        """Mount what is on this host."""
        spec = volume.spec
        assert spec.type is not None  # noqa: S101  # a mounted volume has both
        assert spec.device is not None  # noqa: S101  # the same
        if volume.name not in self.attached():
            with storage_errors(f"cannot be mounted from {spec.device}", volume=volume.name):
                if spec.type is MountType.NONE and os.path.realpath(spec.device) != spec.device:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), spec.device)
                directories.make(target)
                try:
                    mount.mount(spec.type, spec.device, target, spec.o or "", self._mounts)
                except OSError:
                    self._clear(target)
                    raise
        with storage_errors("cannot be used", volume=volume.name):
            directories.own(target, spec.uid, spec.gid, spec.mode)

    def _server(self, export: NfsExport) -> Server:
        return self._servers.at(export.host, export.port)

    def _clear(self, target: str) -> None:
        """Delete the empty directory, unless something is still mounted there."""
        if os.path.basename(target) not in self.attached():
            with suppress(OSError):  # the next mount uses it
                os.rmdir(target)
