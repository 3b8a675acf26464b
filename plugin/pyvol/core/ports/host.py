"""What the core needs of the rooms below it, as protocols; what it needs of a pool is in `pool.py`."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Protocol

from pyvol.core.model.volume import Claim, MountUser, Volume


class Clock(Protocol):
    """The time."""

    def __call__(self) -> datetime:
        """Return now: aware, UTC."""
        ...


class Monotonic(Protocol):
    """A clock that nobody can set."""

    def __call__(self) -> float:
        """Return seconds since a moment that never changes."""
        ...


class Log(Protocol):
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

    def forget(self, *volumes: Volume) -> None:
        """Drop the volumes and their claims, all or none."""
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

    def put_aside(self) -> Sequence[str]:
        """Return the files and records that could not be read."""
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


class PathMapping(Protocol):
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

    def might_use(self, paths: Collection[str]) -> bool:
        """Tell whether anybody could have one of many directories that lie together; False is certain, and quick."""
        ...

    def sees_host(self) -> bool:
        """Tell whether the processes of the host can be seen."""
        ...

    def unseen(self) -> Sequence[str]:
        """Return the processes that `users` can't look into."""
        ...
