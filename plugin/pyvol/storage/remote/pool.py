"""The proxy of a pool on a server: a worker runs the local pool's code, one request for each method."""

import abc
from typing import TypeVar

import msgspec

from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.model.volume import Phase, Space, Volume, VolumeSpec
from pyvol.core.ports.pool import REMOTE, PoolListing, Removal, Rollback, VolumeChanged
from pyvol.storage.layout import DATA, TRASH, VOLUMES
from pyvol.storage.remote.messages import (
    Changed,
    ClearUnfinished,
    CreateVolume,
    Destination,
    HasVolume,
    ListPendingDeletion,
    ListPool,
    MeasureSpace,
    Place,
    PurgeDeleted,
    ReadTrashed,
    ReadVolume,
    RemoveReply,
    RemoveVolume,
    Request,
    StageDeletion,
    Undelete,
    UndoDeletion,
    UndoRemoval,
    UndoUndelete,
    WriteManifest,
)
from pyvol.storage.remote.server import PATIENCE_S

T = TypeVar("T")

PURGE_S = 3600.0


class RemotePool(abc.ABC):
    """The volumes and the trash of a pool whose directories only a worker touches.

    Implements `VolumeStore` and `TrashStore` of `pyvol.core.ports.pool`.

    Args:
        place: the pool's.
    """

    def __init__(self, place: Place) -> None:
        self.name = place.name
        self.root = place.root
        self.traits = REMOTE
        self._place = place
        self._space: Space | None = None

    @abc.abstractmethod
    def _ask(self, request: Request, gives: type[T], volume: Volume | None = None, patience_s: float = PATIENCE_S) -> T:
        """Return a worker's answer.

        Raise `StorageFailed`, with the name of the volume or of the pool in it.
        """

    def mountpoint(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.VolumeStore`."""
        if volume.spec.subdir is not None:
            return f"{self.root}/{volume.spec.subdir}"
        if volume.phase is Phase.TRASHED:
            return f"{self.root}/{TRASH}/{volume.id}/{DATA}"
        return f"{self.root}/{VOLUMES}/{volume.name}/{DATA}"

    def check(self, spec: VolumeSpec) -> VolumeSpec:
        """See `pyvol.core.ports.pool.VolumeStore`."""
        for key in ("path", "type"):
            if getattr(spec, key) is not None:
                raise BadOption(
                    f"pool {self.name!r} has no volumes with {key}=", "it is on an NFS export", "leave out pool"
                )
        return spec

    def foreign_mount(self, _: VolumeSpec) -> str:
        """See `pyvol.core.ports.pool.VolumeStore`. A worker with a deadline is what touches the storage."""
        return ""

    def provision(self, volume: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.VolumeStore`."""
        self._ask(CreateVolume(self._place, volume), type(None), volume)

        def undo() -> None:
            self._ask(StageDeletion(self._place, volume), Destination, volume)

        return undo

    def write_manifest(self, volume: Volume) -> None:
        """See `pyvol.core.ports.pool.VolumeStore`."""
        self._ask(WriteManifest(self._place, volume), type(None), volume)

    def holds(self, volume: Volume) -> bool:
        """See `pyvol.core.ports.pool.VolumeStore`."""
        return self._ask(HasVolume(self._place, volume), bool, volume)

    def rename(self, volume: Volume, _: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.VolumeStore`. Other hosts know the volume by its name."""
        raise StorageFailed("cannot be renamed", "its pool is shared with other hosts", volume=volume.name)

    def listing(self) -> PoolListing:
        """See `pyvol.core.ports.pool.VolumeStore`."""
        return self._ask(ListPool(self._place), PoolListing)

    def read_live(self, name: str) -> Volume:
        """See `pyvol.core.ports.pool.VolumeStore`."""
        return self._ask(ReadVolume(self._place, name), Volume)

    def clear_unfinished(self) -> int:
        """See `pyvol.core.ports.pool.VolumeStore`.

        What is new may be another host's, so only what is old goes.
        """
        return self._ask(ClearUnfinished(self._place), int)

    def space(self) -> Space:
        """See `pyvol.core.ports.pool.VolumeStore`."""
        self._space = self._ask(MeasureSpace(self._place), Space)
        return self._space

    def remove(self, volume: Volume, trashed: Volume | None) -> Removal:
        """See `pyvol.core.ports.pool.TrashStore`. One request."""
        found = self._ask(RemoveVolume(self._place, volume, trashed), RemoveReply, volume).result
        if isinstance(found, Changed):
            raise VolumeChanged(found.current)
        if found.destination is Destination.TRASH:
            return Removal(in_trash=True, undo=lambda: self._ask(UndoRemoval(self._place, volume), type(None), volume))
        return Removal(in_trash=False, undo=self._undo_deletion(volume, found.destination))

    def from_trash(self, volume: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.TrashStore`."""
        trashed = self._ask(Undelete(self._place, volume), Volume, volume)
        back = msgspec.structs.replace(trashed, name=volume.name)
        return lambda: self._ask(UndoUndelete(self._place, back), type(None), volume)

    def stage_deletion(self, *volumes: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.TrashStore`.

        One request per volume: a long one could end in the middle.
        """
        undo: list[Rollback] = []

        def undo_all() -> None:
            for each in reversed(undo):
                each()

        try:
            for volume in volumes:
                destination = self._ask(StageDeletion(self._place, volume), Destination, volume)
                undo.append(self._undo_deletion(volume, destination))
        except StorageFailed:
            undo_all()
            raise
        return undo_all

    def pending_deletion(self) -> frozenset[str]:
        """See `pyvol.core.ports.pool.TrashStore`."""
        return self._ask(ListPendingDeletion(self._place), frozenset[str])

    def read_trashed(self, volume_id: str) -> Volume:
        """See `pyvol.core.ports.pool.TrashStore`."""
        return self._ask(ReadTrashed(self._place, volume_id), Volume)

    def purge(self, volume_id: str) -> None:
        """See `pyvol.core.ports.pool.TrashStore`."""
        self._ask(PurgeDeleted(self._place, volume_id), type(None), patience_s=PURGE_S)

    def _undo_deletion(self, volume: Volume, destination: Destination) -> Rollback:
        def undo() -> None:
            if destination is Destination.DELETION:
                self._ask(UndoDeletion(self._place, volume), type(None), volume)

        return undo
