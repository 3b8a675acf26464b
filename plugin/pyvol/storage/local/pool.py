"""A pool in a directory of this host.

<root>/                  0711
  volumes/<name>/        volume.json and, unless it is an adopted path, _data/
  trash/<id>/            the same, and removed.json
  staging/new-<id>/      an unfinished volume
  staging/gone-<id>/     a volume that waits for its deletion
"""

import os
from contextlib import suppress

import msgspec

from pyvol.core.errors import BadOption, StorageFailed, naming
from pyvol.core.model.volume import Access, MountType, Phase, Space, Volume, VolumeSpec
from pyvol.core.ports.pool import LOCAL, Condition, PoolListing, Removal, Rollback
from pyvol.host.files import delete_tree, directories, durable
from pyvol.storage.layout import DATA, GONE, MANIFEST, NEW, REMOVAL, STAGING, TRASH, VOLUMES
from pyvol.storage.local import manifest, moves, records, staging
from pyvol.storage.mounts.volume_mounts import MountedVolumes
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.paths.allowed import AdoptablePaths


class LocalPool:
    """Volumes in a directory tree of this host. Implements `pyvol.core.ports.pool.Pool`.

    Args:
        name: the pool's name in ``-o pool=``.
        root: its directory.
        host: this host's name, for the records in the trash.
        paths: the rules for ``-o path=``.
        mounted: the mounts of the volumes with a type; None if the pool has no such volumes.
    """

    def __init__(
        self, name: str, root: str, host: str, paths: AdoptablePaths, mounted: MountedVolumes | None = None
    ) -> None:
        self.name = name
        self.traits = LOCAL
        self.root = root
        self._host, self._paths, self._mounted = host, paths, mounted
        self._volumes, self._trash, self._staging = (f"{root}/{name}" for name in (VOLUMES, TRASH, STAGING))

    def prepare(self) -> None:
        """Make the tree where it is missing; raises `StorageFailed`."""
        with storage_errors("cannot be created", pool=self.name):
            for directory in (self.root, self._volumes, self._trash, self._staging):
                directories.make(directory)
            durable.sync_directory(self.root)
            durable.sync_directory(os.path.dirname(self.root))

    def is_prepared(self) -> bool:
        """Return whether the tree exists: not while its disk is away. Raises `StorageFailed`."""
        with storage_errors("cannot be read", pool=self.name):
            return directories.is_directory(self._volumes)

    def mountpoint(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        if volume.spec.type is not None and self._mounted is not None:
            return self._mounted.mountpoint(volume)
        return self._adopted(volume) or f"{self._place(volume)}/{DATA}"

    def check(self, spec: VolumeSpec) -> VolumeSpec:
        """See `pyvol.core.ports.pool.Pool`."""
        if spec.access is not Access.SHARED:
            raise BadOption(f"access={spec.access} is only for NFS pools", f"no other host has pool {self.name!r}")
        if spec.type is not None:
            if self._mounted is None:
                raise BadOption(f"pool {self.name!r} has no volumes with a type", hint="leave out pool")
            if spec.type is MountType.NONE and spec.device is not None:
                return msgspec.structs.replace(spec, device=self._paths.resolve(spec.device))
        if spec.path is None:
            return spec
        return msgspec.structs.replace(spec, path=self._paths.resolve(spec.path))

    def foreign_mount(self, spec: VolumeSpec) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        path = spec.device if spec.type is MountType.NONE else spec.path
        return "" if path is None else self._paths.storage(path)

    def provision(self, volume: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        staged = f"{self._staging}/{NEW}{volume.id}"
        with storage_errors("cannot be created", volume=volume.name):
            try:
                staging.build(staged, volume, self.root)
                moves.publish(staged, volume, self._volumes)
            except BaseException:
                delete_tree.delete_tree(staged)
                raise

        # Undone into staging: if a crash brings a failed commit back, the next start deletes it.
        return moves.undo_move(volume, self._gone(volume.id), self._place(volume))

    def write_manifest(self, volume: Volume) -> None:
        """See `pyvol.core.ports.pool.Pool`."""
        with storage_errors("cannot be changed", volume=volume.name):
            if volume.phase is Phase.TRASHED:
                records.write_removal(self._place(volume), volume, self._host)
            else:
                durable.replace(f"{self._place(volume)}/{MANIFEST}", manifest.encode(volume))

    def attach(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        spec = volume.spec
        try:
            # Asked again at each mount: the spec may be another host's, and the rules may have changed.
            for adopted in filter(None, [spec.path, spec.device if spec.type is MountType.NONE else None]):
                self._paths.permit(adopted, adopted)
        except BadOption as error:
            raise StorageFailed("cannot be used", error.summary, error.hint, volume=volume.name) from None
        if spec.type is not None and self._mounted is not None:
            return self._mounted.attach(volume)
        with naming(volume.name):
            path = self.mountpoint(volume) if spec.path is None else self._paths.here(spec.path)
        with storage_errors("cannot be used", volume=volume.name):
            real = path if spec.path is not None else None
            if spec.subdir is not None:
                real = f"{os.path.realpath(self.root)}/{spec.subdir}"
            directories.own(path, spec.uid, spec.gid, spec.mode, real)
        return path

    def is_attached(self, volume: Volume) -> bool:
        """See `pyvol.core.ports.pool.Pool`."""
        return volume.spec.type is not None and volume.name in self.attached()

    def attached(self) -> frozenset[str]:
        """See `pyvol.core.ports.pool.Pool`.

        A pool volume has no mount, so `detach` has nothing to undo for it.
        """
        return frozenset() if self._mounted is None else self._mounted.attached()

    def detach(self, volume: Volume) -> None:
        """See `pyvol.core.ports.pool.Pool`."""
        if volume.spec.type is not None and self._mounted is not None:
            self._mounted.detach(volume)

    def problem(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        return "" if volume.spec.type is None or self._mounted is None else self._mounted.problem(volume)

    def report(self, volume: Volume) -> dict[str, str]:
        """See `pyvol.core.ports.pool.Pool`."""
        return {} if volume.spec.type is None or self._mounted is None else self._mounted.report(volume)

    def condition(self) -> list[Condition]:
        """See `pyvol.core.ports.pool.Pool`."""
        return [] if self._mounted is None else self._mounted.condition()

    def holds(self, volume: Volume) -> bool:
        """See `pyvol.core.ports.pool.Pool`."""
        place = self._place(volume)
        with storage_errors("cannot be looked up", volume=volume.name):
            try:
                directories.check_directory(place)
            except FileNotFoundError:
                os.stat(os.path.dirname(place))
                return False
            return True

    def remove(self, volume: Volume, trashed: Volume | None) -> Removal:
        """See `pyvol.core.ports.pool.TrashStore`."""
        if self.is_attached(volume):
            self.detach(volume)
        if trashed is None or not self.holds(volume):
            return Removal(in_trash=False, undo=self.stage_deletion(volume))
        return Removal(in_trash=True, undo=self.to_trash(trashed))

    def to_trash(self, volume: Volume) -> Rollback:
        """Move a live volume's directory into the trash, with the record of its removal."""
        live, trashed = f"{self._volumes}/{volume.name}", f"{self._trash}/{volume.id}"
        with storage_errors("cannot be moved to the trash", volume=volume.name):
            note = manifest.encode_removal(volume, self._host)
            durable.move_with_note(live, trashed, REMOVAL, note)
        return moves.undo_move(volume, live, trashed)

    def from_trash(self, volume: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        live, trashed = f"{self._volumes}/{volume.name}", f"{self._trash}/{volume.id}"
        with storage_errors("cannot be undeleted", volume=volume.name):
            undo = moves.restore_from_trash(trashed, volume, self._volumes)
        try:
            with storage_errors("cannot be undeleted", volume=volume.name), suppress(FileNotFoundError):
                os.unlink(f"{live}/{REMOVAL}")
            self._rename_manifest(volume)
        except StorageFailed:
            undo()
            raise
        return undo

    def rename(self, volume: Volume, renamed: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        source, target = f"{self._volumes}/{volume.name}", f"{self._volumes}/{renamed.name}"
        with storage_errors("cannot be renamed", volume=volume.name):
            moves.publish(source, renamed, self._volumes)

        def undo() -> None:
            with storage_errors("cannot get its old name back", volume=volume.name):
                durable.move_back(source, target)
            self.write_manifest(volume)

        try:
            self.write_manifest(renamed)
        except StorageFailed:
            undo()
            raise
        return undo

    def stage_deletion(self, *volumes: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        with storage_errors("cannot be removed", volume=volumes[0].name):
            done = [(self._place(v), self._gone(v.id)) for v in volumes if self.holds(v)]
            durable.move_all(done)

        def undo() -> None:
            with storage_errors("cannot be put back", volume=volumes[0].name):
                for place, gone in done:
                    durable.move_back(place, gone)

        return undo

    def listing(self) -> PoolListing:
        """See `pyvol.core.ports.pool.Pool`."""
        pending_deletion = self.pending_deletion()
        with storage_errors("cannot be read", pool=self.name):
            live = frozenset(directories.names(self._volumes))
            return PoolListing(live, frozenset(directories.names(self._trash)), pending_deletion)

    def pending_deletion(self) -> frozenset[str]:
        """See `pyvol.core.ports.pool.Pool`."""
        with storage_errors("cannot be read", pool=self.name):
            staged = directories.names(self._staging)
            return frozenset(name.removeprefix(GONE) for name in staged if name.startswith(GONE))

    def read_live(self, name: str) -> Volume:
        """See `pyvol.core.ports.pool.Pool`."""
        return records.read_live(f"{self._volumes}/{name}", name)

    def read_trashed(self, volume_id: str) -> Volume:
        """See `pyvol.core.ports.pool.Pool`."""
        return records.read_trashed(f"{self._trash}/{volume_id}", volume_id, self._host)

    def restore(self, volume: Volume) -> None:
        """Undo a `stage_deletion`, also of another process."""
        moves.undo_move(volume, self._place(volume), self._gone(volume.id))()

    def clear_unfinished(self) -> int:
        """See `pyvol.core.ports.pool.Pool`."""
        with storage_errors("cannot be cleared of unfinished volumes", pool=self.name):
            return staging.clear(self._staging, self._volumes)

    def clear_old_unfinished(self) -> int:
        """Delete volumes of a shared pool that were staged long ago and never finished; return how many."""
        with storage_errors("cannot be cleared of unfinished volumes", pool=self.name):
            return staging.clear_old(self._staging)

    def purge(self, volume_id: str) -> None:
        """See `pyvol.core.ports.pool.Pool`."""
        stayed = delete_tree.delete_tree(self._gone(volume_id))
        if stayed:
            more = f", and {len(stayed) - 1} more" if len(stayed) > 1 else ""
            # `rm -r` by hand would delete what is mounted there.
            is_mounted = any(delete_tree.MOUNTED in line for line in stayed)
            hint = "unmount it, and leave the deletion to pyvol" if is_mounted else "delete it by hand"
            raise StorageFailed("cannot be purged", f"{stayed[0]}{more}", hint, pool=self.name)

    def space(self) -> Space:
        """See `pyvol.core.ports.pool.Pool`."""
        with storage_errors("cannot be asked for its free space", pool=self.name):
            return directories.space(self._volumes)

    def _gone(self, volume_id: str) -> str:
        return f"{self._staging}/{GONE}{volume_id}"

    def _adopted(self, volume: Volume) -> str | None:
        if volume.spec.subdir is not None:
            return f"{self.root}/{volume.spec.subdir}"
        if volume.spec.path is None:
            return None
        try:
            return self._paths.here(volume.spec.path)
        except StorageFailed:  # a Mount reports it; the volume is shown all the same (promise 1)
            return volume.spec.path

    def _place(self, volume: Volume) -> str:
        if volume.phase is Phase.TRASHED:
            return f"{self._trash}/{volume.id}"
        return f"{self._volumes}/{volume.name}"

    def _rename_manifest(self, volume: Volume) -> None:
        try:
            named = self.read_live(volume.name).name
        except StorageFailed:
            return  # an unreadable manifest is never overwritten
        if named != volume.name:
            self.write_manifest(volume)
