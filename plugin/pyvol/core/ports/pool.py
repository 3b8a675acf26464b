"""What the core needs from a pool, as protocols, one per capability; what a pool can do is data, in `Traits`.

Pool            every pool: an identity, volumes, a trash, attachments
  PoolIdentity    its name and traits
  VolumeStore     volumes: create, read, change, list
  TrashStore      removed volumes: remove, bring back, delete
  Attachments     what a Mount and an Unmount do
SharedPool      a pool that other hosts have too
  SharedStore     what other hosts did, and which volumes they have mounted
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

import msgspec

from pyvol.core.model.volume import Moment, Space, Volume, VolumeSpec


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool is like and what it can do. Callers ask this, and never which class a pool is.

    Attributes:
        shared: other hosts have the pool too: its manifests are the truth, the catalog is a copy of them.
        renames: a volume can get another name.
        adopts: existing directories of this host can become volumes in it.
        batch_deletes: many volumes can leave the trash in one act, with one sync of the disk.
        counts_usage: this host counts in the background how much space the volumes take.
        reports_outages: the log and `condition` say by themselves when the storage does not answer.
    """

    shared: bool
    renames: bool
    adopts: bool
    batch_deletes: bool
    counts_usage: bool
    reports_outages: bool


LOCAL = Traits(shared=False, renames=True, adopts=True, batch_deletes=True, counts_usage=True, reports_outages=False)
"""A pool in a directory of this host."""
REMOTE = Traits(shared=True, renames=False, adopts=False, batch_deletes=False, counts_usage=False, reports_outages=True)
"""A pool on a server, which several hosts share."""


class PoolListing(NamedTuple):
    """Which directories a pool holds, by their names alone."""

    live: frozenset[str]
    """Names of volumes in `volumes/`."""
    trashed: frozenset[str]
    """Ids in `trash/`."""
    pending_deletion: frozenset[str]
    """Ids in `staging/` that wait for their permanent deletion."""


class Condition(NamedTuple):
    """One fact about a pool: what it is about, its state, whether that state is good, and how to fix it."""

    what: str
    summary: str
    well: bool = True
    hint: str = ""


Rollback = Callable[[], None]
"""Undo an act, also on a disk that fails. Raises `StorageFailed` if that is not possible."""


class Removal(NamedTuple):
    """What a removal did: whether the volume is in the trash, and how to undo the removal."""

    in_trash: bool
    undo: Rollback


class VolumeChanged(Exception):
    """Another host has changed or replaced the volume.

    Nothing was done: the caller learns the change, and acts again.

    Attributes:
        current: the volume that has the name now.
    """

    def __init__(self, current: Volume) -> None:
        super().__init__(f"volume {current.name!r} was changed by another host")
        self.current = current


class PoolIdentity(Protocol):
    """Which pool it is, and what it can do."""

    @property
    def name(self) -> str:
        """Return the pool's name in ``-o pool=``."""
        ...

    @property
    def traits(self) -> Traits:
        """Return what the pool can do."""
        ...


class VolumeStore(Protocol):
    """The volumes of a pool. Raises `StorageFailed`, with the volume's name in it.

    Every act is one rename, and durable when it returns. When it raises, it has changed nothing.
    """

    def mountpoint(self, volume: Volume) -> str:
        """Return the directory that a container sees, or its place in the trash. Does no I/O."""
        ...

    def check(self, spec: VolumeSpec) -> VolumeSpec:
        """Return the spec with its path resolved. Raise `BadOption` if the pool cannot keep such a volume."""
        ...

    def foreign_mount(self, spec: VolumeSpec) -> str:
        """Return where the storage of the volume's data is mounted, if it is not the pool's own. Does no I/O.

        Return an empty string if there is none, and for storage that is never waited for without a deadline.
        """
        ...

    def provision(self, volume: Volume) -> Rollback:
        """Create the volume's directory, whole, and publish it under the volume's name."""
        ...

    def write_manifest(self, volume: Volume) -> None:
        """Write the volume's manifest; of a volume in the trash, until when it stays there."""
        ...

    def holds(self, volume: Volume) -> bool:
        """Return whether the volume's directory exists. Raise `StorageFailed` if the pool does not."""
        ...

    def rename(self, volume: Volume, renamed: Volume) -> Rollback:
        """Rename the volume's directory and its manifest, if the traits say that the pool renames."""
        ...

    def listing(self) -> PoolListing:
        """Return which directories exist."""
        ...

    def read_live(self, name: str) -> Volume:
        """Return the volume of a manifest, by its name. Raise `StorageFailed` if it cannot be read."""
        ...

    def clear_unfinished(self) -> int:
        """Delete what never became a volume and return how many; in a shared pool only what is old."""
        ...

    def space(self) -> Space:
        """Return the size and the free space of the pool's file system."""
        ...


class TrashStore(Protocol):
    """The removed volumes of a pool. Raises `StorageFailed`; its acts are durable as in `VolumeStore`."""

    def mountpoint(self, volume: Volume) -> str:
        """Return the directory that a container sees, or its place in the trash. Does no I/O."""
        ...

    def remove(self, volume: Volume, trashed: Volume | None) -> Removal:
        """Detach the volume, and move its directory into the trash.

        Without `trashed`, move the directory to where `purge` deletes it.

        A volume without a directory leaves nothing to keep, so it is not in the trash afterwards.

        Args:
            volume: the volume as the caller knows it.
            trashed: the same volume as it is in the trash.

        Raises:
            VolumeInUse: another host has the volume mounted.
            VolumeChanged: the pool is shared, and the manifest in it differs from `volume`.
        """
        ...

    def from_trash(self, volume: Volume) -> Rollback:
        """Move a removed volume back, under the volume's name."""
        ...

    def stage_deletion(self, *volumes: Volume) -> Rollback:
        """Move directories, live or removed, to where `purge` deletes them. Skips missing directories."""
        ...

    def pending_deletion(self) -> AbstractSet[str]:
        """Return the ids that wait for deletion, as `listing` does; reads no other directory."""
        ...

    def read_trashed(self, volume_id: str) -> Volume:
        """Return the removed volume with an id. Raise `StorageFailed` if its manifest cannot be read."""
        ...

    def write_manifest(self, volume: Volume) -> None:
        """Write until when a removed volume stays in the trash, see `VolumeStore`."""
        ...

    def purge(self, volume_id: str) -> None:
        """Permanently delete what `stage_deletion` moved under an id. Takes as long as the deletion takes."""
        ...

    def space(self) -> Space:
        """Return the size and the free space of the pool's file system."""
        ...


class Attachments(Protocol):
    """What makes a volume usable on this host, and what is known of its condition."""

    def attach(self, volume: Volume) -> str:
        """Make the volume usable, with its ownership (engine fact 13), and return its mountpoint.

        Raises:
            StorageFailed: the volume cannot be used.
            VolumeInUse: another host has it mounted, and its options or a removal exclude this one.
            VolumeChanged: the pool is shared, and the manifest in it differs from `volume`.
        """
        ...

    def is_attached(self, volume: Volume) -> bool:
        """Return whether there is something that `detach` would undo."""
        ...

    def attached(self) -> Collection[str]:
        """Return the names of the volumes that `detach` would do something for."""
        ...

    def detach(self, volume: Volume) -> None:
        """Undo `attach`, after the last claim."""
        ...

    def problem(self, volume: Volume) -> str:
        """Return what is known to make the volume unusable; empty if nothing. Does no I/O."""
        ...

    def report(self, volume: Volume) -> Mapping[str, str]:
        """Return what else is known of the storage of a volume, for people. Does no I/O."""
        ...

    def condition(self) -> Sequence[Condition]:
        """Return what is known of the servers that the pool depends on. Does no I/O."""
        ...


class PurgeablePool(PoolIdentity, TrashStore, Protocol):
    """A pool as the code sees it that permanently deletes what is in it."""


class Pool(PoolIdentity, VolumeStore, TrashStore, Attachments, Protocol):
    """A directory tree that keeps volumes."""


class Holder(NamedTuple):
    """A host that has a volume of a shared pool mounted."""

    volume: str
    host: str
    since: Moment


class SharedStore(Protocol):
    """What several hosts do in one pool: its manifests are the truth, and the catalog is a copy of them."""

    def look_up(self, name: str) -> Volume | None:
        """Return the volume that has a name now; None if that is not known within two seconds."""
        ...

    def refresh(self) -> None:
        """Learn what other hosts did, and wait for that for a moment."""
        ...

    def request_refresh(self) -> None:
        """Make a background thread learn what other hosts did. Does not wait."""
        ...

    def hold(self, volume: Volume) -> None:
        """Show other hosts that this host has the volume mounted. Raise `VolumeInUse` if it may not."""
        ...

    def held(self) -> Sequence[Volume]:
        """Return the volumes that this host holds, as they were when it took them."""
        ...

    def holders(self) -> Sequence[Holder]:
        """Return which other hosts have which volumes mounted."""
        ...


class SharedPool(Pool, SharedStore, Protocol):
    """A pool that several hosts share."""
