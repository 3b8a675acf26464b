"""What the core needs of the rooms below it, as protocols."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from pyvol.core.model import Claim, MountUser, Space, Volume, VolumeSpec


class Clock(Protocol):
    """The time."""

    def __call__(self) -> datetime:
        """Return now: aware, UTC."""
        ...


class Journal(Protocol):
    """Where it is written down what happened: an event in a few words, and its facts."""

    def debug(self, event: str, **facts: Any) -> object:
        """Write down what happens all the time."""
        ...

    def info(self, event: str, **facts: Any) -> object:
        """Write down what changed."""
        ...

    def warning(self, event: str, *, exc_info: BaseException | None = None, **facts: Any) -> object:
        """Write down what somebody should look at, with a traceback where there is one."""
        ...


class Catalog(Protocol):
    """What exists and what is promised, durable before each call returns. Raises `CatalogFailed`."""

    def find(self, name: str) -> Volume | None:
        """Return the volume that holds the name; never waits."""
        ...

    def find_id(self, volume_id: str) -> Volume | None:
        """Return the volume that has an id and holds its name; never waits."""
        ...

    def live(self) -> Collection[Volume]:
        """Return the volumes that hold their names; never waits."""
        ...

    @property
    def changes(self) -> int:
        """Return a number that is another after each change of what `live` returns; never waits."""
        ...

    def trashed(self) -> Collection[Volume]:
        """Return the volumes in the trash; never waits."""
        ...

    def find_trashed(self, volume_id: str) -> Volume | None:
        """Return the volume in the trash that has an id; never waits."""
        ...

    def save(self, *volumes: Volume) -> None:
        """Insert the volumes, or replace what is known under their ids, all or none. A trashed one loses its claims."""
        ...

    def rename(self, volume: Volume, renamed: Volume) -> None:
        """Replace a live volume by the same under another name; its claims, which are stale, are dropped."""
        ...

    def find_former(self, name: str) -> Volume | None:
        """Return the live volume that once had a name; never waits."""
        ...

    def forget(self, volume: Volume) -> None:
        """Drop the volume and its claims."""
        ...

    def claim(self, volume: str, mount_id: str) -> Claim | None:
        """Return the claim under an ID; never waits."""
        ...

    def claims(self, volume: str | None = None) -> Sequence[Claim]:
        """Return the claims of one volume, or of all; never waits."""
        ...

    def save_claim(self, claim: Claim) -> None:
        """Insert the claim, or replace the one under its ID."""
        ...

    def drop_claim(self, claim: Claim) -> None:
        """Drop the claim."""
        ...

    @property
    def trouble(self) -> str | None:
        """Return why the last write failed; None when it succeeded."""
        ...

    @property
    def generation(self) -> int:
        """Return the engine's life that is current."""
        ...

    def next_generation(self) -> int:
        """Open the next generation (engine fact 8); never waits: durable after `save_generation`, or the next write."""
        ...

    def save_generation(self) -> None:
        """Make the current generation durable."""
        ...


class Census(NamedTuple):
    """Which directories a pool holds, by their names alone."""

    live: frozenset[str]
    """Names of volumes in `volumes/`."""
    trashed: frozenset[str]
    """Ids in `trash/`."""
    discarded: frozenset[str]
    """Ids in `staging/` that wait for their deletion."""


class Fact(NamedTuple):
    """Something about a pool that is looked at, what it is like, and whether that is well."""

    what: str
    says: str
    well: bool = True


Undo = Callable[[], None]
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

    def provision(self, volume: Volume) -> Undo:
        """Make the volume's directory, whole, and show it under its name."""
        ...

    def describe(self, volume: Volume) -> None:
        """Write the descriptor of a volume anew."""
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

    def to_trash(self, volume: Volume) -> Undo:
        """Move the volume's directory into the trash, with when and until."""
        ...

    def from_trash(self, volume: Volume) -> Undo:
        """Move it back, under the volume's name."""
        ...

    def rename(self, volume: Volume, renamed: Volume) -> Undo:
        """Give the volume's directory, and its descriptor, another name. Not for remote pools."""
        ...

    def discard(self, volume: Volume) -> Undo:
        """Move the directory, live or trashed, to where `sweep` deletes it; a success when there is none."""
        ...

    def census(self) -> Census:
        """Return which directories there are."""
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

    def sweep(self, volume_id: str) -> None:
        """Delete for good what was discarded under an id. Takes as long as it takes."""
        ...

    def space(self) -> Space:
        """Return the room on the pool's file system."""
        ...

    def ailment(self, volume: Volume) -> str:
        """Return what is known to keep the volume from being used, such as a dead server; empty when nothing is."""
        ...

    def report(self, volume: Volume) -> Mapping[str, str]:
        """Return what else is known of where a volume is, for people; touches nothing."""
        ...

    def condition(self) -> Sequence[Fact]:
        """Return what is known of the servers that the pool depends on; touches nothing."""
        ...


class Holder(NamedTuple):
    """A host that has a volume of a shared pool mounted."""

    volume: str
    host: str
    since: datetime


class SharedPool(Pool, Protocol):
    """A pool that other hosts have too: the descriptors in it are the truth, and the catalog is a memory of them."""

    def look_up(self, name: str) -> Volume | None:
        """Return what the pool has of a name, within a moment; None also when it can't be told."""
        ...

    def freshen(self) -> None:
        """See that what other hosts did is known, or wait for that for a moment."""
        ...

    def nudge(self) -> None:
        """Have what other hosts did looked for, in the background."""
        ...

    def hold(self, volume: Volume) -> None:
        """Tell other hosts that this one has the volume mounted; raises `VolumeInUse` where that may not be."""
        ...

    def holders(self) -> Sequence[Holder]:
        """Return which other hosts have which volumes mounted."""
        ...


class Outlook(Protocol):
    """By which paths others know our directories; on a host of our own they are the same."""

    def engine_path(self, path: str) -> str:
        """Return the path by which the engine knows a mountpoint; touches nothing."""
        ...

    def host_path(self, path: str) -> str:
        """Return the path by which people on the host know a directory; touches nothing."""
        ...

    def show(self, path: str, volume: str) -> str:
        """See that the engine can reach a volume's mountpoint, and return the engine's path of it."""
        ...


class MountTable(Protocol):
    """What the kernel says is mounted."""

    def users(self, path: str) -> Sequence[MountUser]:
        """Return who has the directory, or one below it, mounted elsewhere, in any mount namespace (engine fact 32)."""
        ...

    def sees_host(self) -> bool:
        """Tell whether the processes of the host can be seen."""
        ...

    def unseen(self) -> Sequence[str]:
        """Return the processes that `users` can't look into."""
        ...
