"""What the core needs from outside, as protocols. `pool.py` has what it needs from a pool."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Protocol

from pyvol.core.model.event_kind import EventKind
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
    """The log. Each line is a few words, and facts."""

    def debug(self, event: str, **facts: Any) -> object:
        """Write a line about something that happens all the time."""
        ...

    def info(self, event: str, **facts: Any) -> object:
        """Write a line about a change."""
        ...

    def warning(self, event: str, *, exc_info: BaseException | None = None, **facts: Any) -> object:
        """Write a line about something that a person should look at, with the traceback if there is one."""
        ...


class VolumeLog(Log, Protocol):
    """A log that also gets events: what happened to volumes, as kinds and facts.

    It makes the lines from them.
    """

    def event(
        self,
        kind: EventKind,
        volume: str,
        *,
        quiet: bool = False,
        exc_info: BaseException | None = None,
        **facts: Any,
    ) -> object:
        """Record what happened to a volume, and write its line; a quiet line is for debugging only."""
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
        """Return a number that changes with each change of what `live` returns; never waits."""
        ...

    def trashed(self) -> Collection[Volume]:
        """Return the volumes in the trash; never waits."""
        ...

    def find_trashed(self, volume_id: str) -> Volume | None:
        """Return the volume in the trash that has an id; never waits."""
        ...

    def save(self, *volumes: Volume) -> None:
        """Insert the volumes, or replace those with their ids, all or none.

        Drop the claims of trashed volumes.
        """
        ...

    def rename(self, volume: Volume, renamed: Volume) -> None:
        """Replace a live volume by the same volume with another name. Drop its claims, which are stale."""
        ...

    def find_former(self, name: str) -> Volume | None:
        """Return the live volume that had a name earlier; never waits."""
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
        """Insert the claim, or replace the claim with its ID."""
        ...

    def drop_claim(self, claim: Claim) -> None:
        """Drop the claim."""
        ...

    @property
    def problem(self) -> str | None:
        """Return why the last write failed, or None if it succeeded."""
        ...

    def put_aside(self) -> Sequence[str]:
        """Return the files and records that could not be read."""
        ...

    @property
    def generation(self) -> int:
        """Return the current generation of the engine."""
        ...

    def next_generation(self) -> int:
        """Open the next generation (engine fact 8); never waits. The next write makes it durable."""
        ...

    def save_generation(self) -> None:
        """Make the current generation durable."""
        ...


class PathMapping(Protocol):
    """The paths by which others know our directories. A daemon on the host itself has the same paths."""

    def engine_path(self, path: str) -> str:
        """Return the engine's path of a mountpoint. Does no I/O."""
        ...

    def host_path(self, path: str) -> str:
        """Return the host's path of a directory. Does no I/O."""
        ...

    def show(self, path: str, volume: str) -> str:
        """Ensure that the engine can reach a volume's mountpoint, and return the engine's path of it."""
        ...


class MountTable(Protocol):
    """The kernel's tables of mounts."""

    def users(self, path: str) -> Sequence[MountUser]:
        """Return the processes with another mount of the directory, or of one below it (engine fact 32)."""
        ...

    def might_use(self, paths: Collection[str]) -> bool:
        """Return False if no process can have any of these directories mounted; they share a parent. Fast."""
        ...

    def sees_host(self) -> bool:
        """Return whether pyvol sees the host's processes."""
        ...

    def unseen(self) -> Sequence[str]:
        """Return the processes whose mounts `users` cannot read."""
        ...
