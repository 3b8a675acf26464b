"""What the core needs of a pool, as protocols: its own host's alone, or shared with others."""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from pyvol.core.model.volume import Moment, Space, Volume, VolumeSpec


class PoolListing(NamedTuple):
    """Which directories a pool holds, by their names alone."""

    live: frozenset[str]
    """Names of volumes in `volumes/`."""
    trashed: frozenset[str]
    """Ids in `trash/`."""
    pending_deletion: frozenset[str]
    """Ids in `staging/` that wait for their deletion."""


class Condition(NamedTuple):
    """Something about a pool that is looked at, what it is like, whether that is well, and what mends it."""

    what: str
    summary: str
    well: bool = True
    hint: str = ""


Rollback = Callable[[], None]
"""Takes an act back, also on a disk that fails; raises `StorageFailed` where it can't."""


class Pool(Protocol):
    """A directory tree that keeps volumes. Raises `StorageFailed`, with the volume's name in it.

    Every act is one rename, and durable when it returns; when it raises, nothing was done.
    """

    @property
    def name(self) -> str:
        """Return what ``-o pool=`` calls it."""
        ...

    @property
    def is_remote(self) -> bool:
        """Tell whether its directories are a server's."""
        ...

    def mountpoint(self, volume: Volume) -> str:
        """Return the directory that a container sees, or where that is in the trash; touches nothing."""
        ...

    def check(self, spec: VolumeSpec) -> VolumeSpec:
        """Return the spec with its path resolved, or raise `BadOption` when the path can't be adopted."""
        ...

    def foreign_mount(self, spec: VolumeSpec) -> str:
        """Return where the storage is mounted that a volume's data is on, if not the pool's own; touches nothing.

        Empty for none, and for what is never waited for without a deadline.
        """
        ...

    def provision(self, volume: Volume) -> Rollback:
        """Make the volume's directory, whole, and show it under its name."""
        ...

    def write_manifest(self, volume: Volume) -> None:
        """Write the descriptor of a volume anew; of one in the trash, until when it stays there."""
        ...

    def attach(self, volume: Volume) -> str:
        """Make the volume usable, ownership applied (engine fact 13), and return its mountpoint."""
        ...

    def removing(self, volume: Volume) -> AbstractContextManager[None]:
        """See that no other host has the volume mounted, nor mounts it in the body; raises `VolumeInUse`."""
        ...

    def is_attached(self, volume: Volume) -> bool:
        """Tell whether there is something that `detach` would undo."""
        ...

    def attached(self) -> Collection[str]:
        """Return the names of the volumes of which there is something that `detach` would undo."""
        ...

    def detach(self, volume: Volume) -> None:
        """Undo `attach`, after the last claim."""
        ...

    def holds(self, volume: Volume) -> bool:
        """Tell whether the volume's own directory is there; raises `StorageFailed` when the pool itself is not."""
        ...

    def to_trash(self, volume: Volume) -> Rollback:
        """Move the volume's directory into the trash, with when and until."""
        ...

    def from_trash(self, volume: Volume) -> Rollback:
        """Move it back, under the volume's name."""
        ...

    def rename(self, volume: Volume, renamed: Volume) -> Rollback:
        """Give the volume's directory, and its descriptor, another name. Not for remote pools."""
        ...

    def stage_deletion(self, *volumes: Volume) -> Rollback:
        """Move their directories, live or trashed, to where `purge` deletes them; a success where there is none."""
        ...

    def listing(self) -> PoolListing:
        """Return which directories there are."""
        ...

    def pending_deletion(self) -> AbstractSet[str]:
        """Return what the census says of that, without a look at the volumes and the trash."""
        ...

    def read_live(self, name: str) -> Volume:
        """Read the descriptor of a volume in its place; raises `StorageFailed` when it can't be read."""
        ...

    def read_trashed(self, volume_id: str) -> Volume:
        """Read the descriptor of a volume in the trash; raises `StorageFailed` when it can't be read."""
        ...

    def clear_unfinished(self) -> int:
        """Delete what never became a volume, at the start; of a shared pool what is old. Return how many."""
        ...

    def purge(self, volume_id: str) -> None:
        """Delete for good what was discarded under an id. Takes as long as it takes."""
        ...

    def space(self) -> Space:
        """Return the room on the pool's file system."""
        ...

    def problem(self, volume: Volume) -> str:
        """Return what is known to keep the volume from being used, such as a dead server; empty when nothing is."""
        ...

    def report(self, volume: Volume) -> Mapping[str, str]:
        """Return what else is known of where a volume is, for people; touches nothing."""
        ...

    def condition(self) -> Sequence[Condition]:
        """Return what is known of the servers that the pool depends on; touches nothing."""
        ...


class Holder(NamedTuple):
    """A host that has a volume of a shared pool mounted."""

    volume: str
    host: str
    since: Moment


class SharedPool(Pool, Protocol):
    """A pool that other hosts have too: the descriptors in it are the truth, and the catalog is a memory of them."""

    def look_up(self, name: str) -> Volume | None:
        """Return what the pool has of a name, within a moment; None also when it can't be told."""
        ...

    def refresh(self) -> None:
        """See that what other hosts did is known, or wait for that for a moment."""
        ...

    def request_refresh(self) -> None:
        """Have what other hosts did looked for, in the background."""
        ...

    def hold(self, volume: Volume) -> None:
        """Tell other hosts that this one has the volume mounted; raises `VolumeInUse` where that may not be."""
        ...

    def held(self) -> Sequence[Volume]:
        """Return the volumes that this host holds, as they were when it took them."""
        ...

    def holders(self) -> Sequence[Holder]:
        """Return which other hosts have which volumes mounted."""
        ...
