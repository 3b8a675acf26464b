"""Small models of the kernel, the clock, the log and a pool."""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from pyvol.core.errors import NameTaken, StorageFailed
from pyvol.core.model.event_kind import EventKind
from pyvol.core.model.volume import MountUser, Phase, Space, Volume, VolumeSpec
from pyvol.core.ports.pool import LOCAL, Condition, PoolListing, Removal, Rollback


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
        self._passed = 0.0

    def __call__(self) -> datetime:
        """See `pyvol.core.ports.host.Clock`."""
        return self.now

    def forward(self, **span: float) -> None:
        """Move the clock."""
        self.now += timedelta(**span)
        self._passed += timedelta(**span).total_seconds()

    def steady(self) -> float:
        """Return the seconds that have passed; setting the clock does not change them."""
        return self._passed

    def set_ahead(self, **span: float) -> None:
        """Set it to another time, while no time passes."""
        self.now += timedelta(**span)


class FakeMounts:
    """The kernel's table of other mount namespaces' mounts; containers come and go in it.

    Attributes:
        table: the users of each path.
        host_is_seen: whether the processes of the host can be seen.
        hidden: the processes that the kernel does not show.
        on_users: is called with the path before each look at its users.
    """

    def __init__(self) -> None:
        self.table: dict[str, list[MountUser]] = {}
        self.host_is_seen = True
        self.hidden: list[str] = []
        self.on_users: Callable[[str], None] = lambda _: None
        self._pids = itertools.count(1000)

    def run(self, path: str) -> int:
        """Mount a path in another namespace; return the pid of the process."""
        pid = next(self._pids)
        self.table.setdefault(path, []).append(MountUser(pid, "sleep", "/data"))
        return pid

    def end(self, pid: int) -> None:
        """End this process."""
        self.table = {path: [u for u in users if u.pid != pid] for path, users in self.table.items()}

    def users(self, path: str) -> Sequence[MountUser]:
        """See `pyvol.core.ports.host.MountTable`."""
        self.on_users(path)
        return list(self.table.get(path, []))

    def might_use(self, paths: Collection[str]) -> bool:
        """See `pyvol.core.ports.host.MountTable`."""
        return any(self.users(path) for path in paths)

    def sees_host(self) -> bool:
        """See `pyvol.core.ports.host.MountTable`."""
        return self.host_is_seen

    def unseen(self) -> Sequence[str]:
        """See `pyvol.core.ports.host.MountTable`."""
        return self.hidden


class FakeAccounts:
    """A host with one user and one group."""

    def uid(self, name: str) -> int:
        """See `pyvol.core.model.option_values.Accounts`."""
        return {"alice": 1000}[name]

    def gid(self, name: str) -> int:
        """See `pyvol.core.model.option_values.Accounts`."""
        return {"staff": 50}[name]


class FakeLog:
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def debug(self, event: str, **facts: Any) -> None:
        """See `pyvol.core.ports.host.Log`."""
        self.lines.append(("debug", event, facts))

    def info(self, event: str, **facts: Any) -> None:
        """See `pyvol.core.ports.host.Log`."""
        self.lines.append(("info", event, facts))

    def warning(self, event: str, *, exc_info: BaseException | None = None, **facts: Any) -> None:
        """See `pyvol.core.ports.host.Log`."""
        self.lines.append(("warning", event, {**facts, "exc_info": exc_info}))

    def event(
        self,
        kind: EventKind,
        volume: str,
        *,
        quiet: bool = False,
        exc_info: BaseException | None = None,
        **facts: Any,
    ) -> None:
        """See `pyvol.core.ports.host.VolumeLog`."""
        level = "quiet event" if quiet else "event"
        self.lines.append((level, kind, {"volume": volume, **facts, "exc_info": exc_info}))

    @property
    def events(self) -> list[str]:
        """What happened, without the facts: the words of lines, and the kinds of events."""
        return [event for _, event, _ in self.lines]


class FakePool:
    """A pool in memory: three tables instead of three directories. A test sets a failure for each verb."""

    def __init__(self, name: str = "default") -> None:
        self.name = name
        self.live: dict[str, Volume] = {}
        self.trashed: dict[str, Volume] = {}
        self.staged: dict[str, Volume] = {}
        self.mounted: set[str] = set()
        self.stuck: dict[str, str] = {}
        self.failing: dict[str, str] = {}
        self.room = Space(100, 50)
        self.traits = LOCAL
        self.facts: list[Condition] = []

    def mountpoint(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        return volume.spec.path or f"/fake/{self.name}/{volume.name}/_data"

    def check(self, spec: VolumeSpec) -> VolumeSpec:
        """See `pyvol.core.ports.pool.Pool`."""
        return spec

    def foreign_mount(self, _: VolumeSpec) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        return ""

    def provision(self, volume: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("provision")
        self._show(volume)
        return lambda: self._take_back(self.live, volume.name)

    def write_manifest(self, volume: Volume) -> None:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("write_manifest")
        if volume.phase is Phase.TRASHED:
            self.trashed[volume.id] = volume
        else:
            self.live[volume.name] = volume

    def attach(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("attach")
        if volume.name not in self.live:
            raise StorageFailed("cannot be used", "its directory is missing", volume=volume.name)
        self.mounted.add(volume.name)
        return self.mountpoint(volume)

    def is_attached(self, volume: Volume) -> bool:
        """See `pyvol.core.ports.pool.Pool`."""
        return volume.name in self.mounted

    def attached(self) -> Collection[str]:
        """See `pyvol.core.ports.pool.Pool`."""
        return frozenset(self.mounted)

    def detach(self, volume: Volume) -> None:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("detach")
        self.mounted.discard(volume.name)

    def holds(self, volume: Volume) -> bool:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("holds")
        return volume.id in self.trashed if volume.phase is Phase.TRASHED else volume.name in self.live

    def remove(self, volume: Volume, trashed: Volume | None) -> Removal:
        """See `pyvol.core.ports.pool.TrashStore`."""
        if self.is_attached(volume):
            self.detach(volume)
        if trashed is None or not self.holds(volume):
            return Removal(in_trash=False, undo=self.stage_deletion(volume))
        return Removal(in_trash=True, undo=self.to_trash(trashed))

    def to_trash(self, volume: Volume) -> Rollback:
        """Move a live volume into the trash."""
        self._may("to_trash")
        live = self.live.pop(volume.name, None)
        if live is None:
            raise StorageFailed("cannot be used", "its directory is missing", volume=volume.name)
        self.trashed[volume.id] = volume
        return lambda: self._take_back(self.trashed, volume.id, live)

    def from_trash(self, volume: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("from_trash")
        if volume.id not in self.trashed:
            raise StorageFailed("cannot be used", "its directory is missing", volume=volume.name)
        self._show(msgspec.structs.replace(volume, phase=Phase.READY, removed=None, until=None))
        entry = self.trashed.pop(volume.id)
        return lambda: self._take_back(self.live, volume.name, entry)

    def rename(self, volume: Volume, renamed: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("rename")
        earlier = self.live.pop(volume.name)
        self._show(renamed)
        return lambda: self._take_back(self.live, renamed.name, earlier)

    def stage_deletion(self, *volumes: Volume) -> Rollback:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("stage_deletion")
        moved = []
        for v in volumes:
            gone = self.trashed.pop(v.id, None) if v.phase is Phase.TRASHED else self.live.pop(v.name, None)
            if gone is not None:
                self.staged[v.id] = gone
                moved.append(gone)

        def undo() -> None:
            for gone in moved:
                self._take_back(self.staged, gone.id, gone)

        return undo

    def listing(self) -> PoolListing:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("listing")
        return PoolListing(frozenset(self.live), frozenset(self.trashed), self.pending_deletion())

    def pending_deletion(self) -> frozenset[str]:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("pending_deletion")
        return frozenset(self.staged)

    def read_live(self, name: str) -> Volume:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("read_live")
        try:
            return self.live[name]
        except KeyError:
            raise StorageFailed("cannot be used", "its directory is missing", volume=name) from None

    def read_trashed(self, volume_id: str) -> Volume:
        """See `pyvol.core.ports.pool.Pool`."""
        try:
            return self.trashed[volume_id]
        except KeyError:
            raise StorageFailed(f"entry {volume_id} of the trash cannot be used", "its directory is missing") from None

    def clear_unfinished(self) -> int:
        """See `pyvol.core.ports.pool.Pool`."""
        return 0

    def purge(self, volume_id: str) -> None:
        """See `pyvol.core.ports.pool.Pool`."""
        if volume_id in self.stuck:
            raise StorageFailed(self.stuck[volume_id])
        self.staged.pop(volume_id, None)

    def space(self) -> Space:
        """See `pyvol.core.ports.pool.Pool`."""
        self._may("space")
        return self.room

    def problem(self, _: Volume) -> str:
        """See `pyvol.core.ports.pool.Pool`."""
        return next((fact.summary for fact in self.facts if not fact.well), "")

    def report(self, _: Volume) -> Mapping[str, str]:
        """See `pyvol.core.ports.pool.Pool`."""
        return {}

    def condition(self) -> Sequence[Condition]:
        """See `pyvol.core.ports.pool.Pool`."""
        return self.facts

    def _may(self, verb: str) -> None:
        if verb in self.failing:
            raise StorageFailed(self.failing[verb])

    def _take_back(self, table: dict[str, Volume], key: str, earlier: Volume | None = None) -> None:
        self._may("undo")
        del table[key]
        if earlier is not None:
            if earlier.phase is Phase.TRASHED:
                self.trashed[earlier.id] = earlier
            else:
                self.live[earlier.name] = earlier

    def _show(self, volume: Volume) -> None:
        if volume.name in self.live:
            raise NameTaken("cannot be created", "its directory exists and is not in the catalog", volume=volume.name)
        self.live[volume.name] = volume
