"""The trash: what was removed, brought back, or let go when its time is over or the room is needed."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

import msgspec

from pyvol.core.concurrency.named_locks import NamedLocks
from pyvol.core.errors import NoSuchTrash, PyvolError, StorageFailed, VolumeExists, VolumeInUse, asked_for
from pyvol.core.lifecycle.path_overlap import AdoptedDirectories
from pyvol.core.lifecycle.pool_lookup import pool_of
from pyvol.core.lifecycle.rollback import rolling_back
from pyvol.core.model.volume import Phase, Volume, VolumeSpec, check_name, in_pool
from pyvol.core.ports.host import Catalog, Clock, Log, Monotonic, MountTable
from pyvol.core.ports.pool import Pool

JUMP = timedelta(hours=1)
"""A clock that goes ahead of time by more was set, and not kept in step."""

BATCH = 256
"""How many removed volumes go in one act: with one sync of the disk, and one commit."""


class Emptied(NamedTuple):
    """What an emptying let go of, and what it could not."""

    gone: list[Volume]
    failed: list[str]


class Emptying(msgspec.Struct, frozen=True):
    """How far an emptying is, and of how many; of none where there is none under way."""

    done: int = 0
    of: int = 0


class Trash:
    """Removed volumes of this host.

    Args:
        catalog: what exists.
        pools: by name.
        clock: the time.
        since_boot: seconds that nobody can set, those of a suspended host too.
        log: where it is written down what happened.
        locks: shared with the volumes.
        mounts: what the kernel says is mounted.
        min_free_percent: under this much free room in a pool its trash goes before its time, oldest first.
        collect_garbage: called when there is something to delete in the background.
        adopted: the directories that volumes have adopted; shared with the volumes.
        stuck: by id, why what was discarded could not be deleted when it was last tried.

    Attributes:
        emptying: how far the latest emptying by hand is, while it lasts.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each port by its name
        self,
        *,
        catalog: Catalog,
        pools: Mapping[str, Pool],
        clock: Clock,
        since_boot: Monotonic,
        log: Log,
        locks: NamedLocks,
        mounts: MountTable,
        min_free_percent: float,
        collect_garbage: Callable[[], None],
        adopted: AdoptedDirectories,
        stuck: Mapping[str, str],
    ) -> None:
        self._adopted = adopted
        self._stuck = stuck
        self._catalog = catalog
        self._pools = pools
        self._clock = clock
        self._since_boot = since_boot
        self._looked = (clock(), since_boot())
        self._log = log
        self._locks = locks
        self._mounts = mounts
        self._min_free_percent = min_free_percent
        self._collect_garbage = collect_garbage
        self._ended = False
        self.emptying = Emptying()

    def all(self) -> list[Volume]:
        """Return what can be undeleted, the latest removal first."""
        return sorted(self._catalog.trashed(), key=_removal, reverse=True)

    def undelete(self, name: str, new_name: str | None = None) -> Volume:
        """Bring back the latest removed volume of a name, or the one with that id.

        Raises:
            NoSuchTrash: nothing of that name is in the trash.
            VolumeExists: the name has been taken; the message says how to choose another.
        """
        entry = self._find(name)
        target = check_name(new_name or entry.name)
        pool = pool_of(self._pools, entry)
        live = self._as_it_was(entry, target, pool)
        with (
            asked_for(target),
            self._locks.hold(target),
            self._locks.hold(f"id={entry.id}", f"removed volume {entry.name!r}"),
            self._adopted.reserve(target, live.spec),
        ):
            self._still(entry)
            if self._catalog.find(target) is not None:
                raise VolumeExists(
                    f"volume {target!r} exists: bring the removed one back with `pyvol undelete {name} --as NEW_NAME`"
                )
            with rolling_back(pool.from_trash(live), target, self._log):
                self._adopted.check_reserved(target, live.spec)
                self._catalog.save(live)
        self._log.info("volume undeleted", volume=target, id=entry.id, removed_as=entry.name)
        return live

    def empty(self, names: Collection[str] = (), *, kept_too: bool = False) -> Emptied:
        """Let go of removed volumes: those of the names or ids, or all but those with on_remove=keep."""
        for name in names:
            self._find(name)
        chosen = [
            volume
            for volume in self.all()
            if (volume.name in names or volume.id in names if names else kept_too or volume.until is not None)
        ]

        def on_progress(done: int) -> None:
            self.emptying = Emptying(done, len(chosen))

        on_progress(0)
        try:
            return self._purge_all(chosen, "emptied by hand", on_progress)
        finally:
            self.emptying = Emptying()

    def end(self) -> None:
        """Give up emptyings: the daemon stops."""
        self._ended = True

    def expire(self) -> Emptied:
        """Let go of what is over its time, and of the oldest where a pool is short of room.

        One volume a pool and call for the latter: the room shows only after the deletion, and the reaper calls again.
        """
        now = self._clock()
        self._renew_skipped(now)
        over: list[Volume] = []
        dated: list[Volume] = []
        for volume in self.all():
            if volume.until is not None:
                (over if volume.until <= now else dated).append(volume)
        gone, failed = self._purge_all(over, "over its time", _ignore)
        for name, pool in self._pools.items():
            # An adopted path, and what is mounted, stays where it is, so that its record in the trash takes no room.
            rest = [v for v in dated if v.spec.pool == name and v.spec.keeps_data]
            if rest and self._is_short(pool):
                more = self._purge_one(sorted(rest, key=_removal))
                gone += more.gone
                failed += more.failed
        return Emptied(gone, failed)

    def _renew_skipped(self, now: datetime) -> None:
        """Give its whole time anew to what is over it only because the clock was set ahead since the last look."""
        since_boot = self._since_boot()
        looked, then = self._looked
        due = looked + timedelta(seconds=since_boot - then)
        if now - due > JUMP:
            skipped = [v for v in self._catalog.trashed() if v.removed and v.until and due < v.until <= now]
            for volume in skipped:
                with self._locks.hold(f"id={volume.id}", f"removed volume {volume.name!r}"):
                    if volume.removed and volume.until and self._catalog.find_trashed(volume.id) == volume:
                        until = now + (volume.until - volume.removed)
                        self._renew(msgspec.structs.replace(volume, until=until))
            self._log.warning("the clock was set ahead: see that it is right", was=due, now=now, kept=len(skipped))
        self._looked = (now, since_boot)

    def _renew(self, volume: Volume) -> None:
        try:
            pool_of(self._pools, volume).write_manifest(volume)
        except StorageFailed as error:  # the catalog's word counts, unless it has to be rebuilt
            self._log.warning("a new time is not in the trash", volume=volume.name, id=volume.id, error=str(error))
        self._catalog.save(volume)

    def _is_short(self, pool: Pool) -> bool:
        try:
            if pool.pending_deletion() - self._stuck.keys():
                return False  # what is on its way out has not made its room yet
            return pool.space().free_percent < self._min_free_percent
        except StorageFailed as error:
            if not pool.traits.reports_outages:
                self._log.warning("room in pool unknown", pool=pool.name, error=str(error))
            return False

    def _purge_one(self, chosen: Sequence[Volume]) -> Emptied:
        """Let go of the first that can go: one that somebody has mounted keeps no room from being made."""
        failed: list[str] = []
        for volume in chosen[:BATCH]:
            gone, why_not = self._purge_all([volume], "its pool is short of room", _ignore)
            failed += why_not
            if gone or self._ended:
                return Emptied(gone, failed)
        return Emptied([], failed)

    def _purge_all(self, chosen: Collection[Volume], why: str, on_progress: Callable[[int], None]) -> Emptied:
        result = Emptied([], [])
        done = 0
        for batch in self._batches(chosen):
            if self._ended:
                result.failed.append(f"{len(chosen) - done} removed volumes stay: pyvol is stopping; empty it again")
                break
            self._let_go(batch, why, result)
            on_progress(done := done + len(batch))
        if result.gone:
            self._collect_garbage()
        return result

    def _batches(self, chosen: Collection[Volume]) -> Iterator[Sequence[Volume]]:
        """Yield what can be let go of in one act: of a pool of this host; with a server, one at a time."""
        by_pool: dict[str, list[Volume]] = {}
        for volume in chosen:
            by_pool.setdefault(volume.spec.pool, []).append(volume)
        for name, volumes in by_pool.items():
            many = BATCH if name in self._pools and self._pools[name].traits.batch_deletes else 1
            for first in range(0, len(volumes), many):
                yield volumes[first : first + many]

    def _let_go(self, batch: Sequence[Volume], why: str, result: Emptied) -> None:
        try:
            self._purge(batch, why)
        except PyvolError as error:
            if len(batch) > 1:  # whose fault it is, one at a time will tell
                for volume in batch:
                    self._let_go([volume], why, result)
                return
            (volume,) = batch
            result.failed.append(str(error))
            self._log.warning("trash not emptied", volume=volume.name, id=volume.id, error=str(error))
        else:
            result.gone.extend(batch)

    def _purge(self, batch: Sequence[Volume], why: str) -> None:
        with ExitStack() as held:
            for volume in sorted(batch, key=attrgetter("id")):  # in the order in which others of us take them
                held.enter_context(self._locks.hold(f"id={volume.id}", f"removed volume {volume.name!r}"))
            entries = [self._unchanged(volume) for volume in batch]
            pool = pool_of(self._pools, entries[0])
            self._refuse_in_use(entries, pool)
            with rolling_back(pool.stage_deletion(*entries), entries[0].name, self._log):
                self._catalog.forget(*entries)
        for volume in batch:
            self._log.info("removed volume deleted for good", volume=volume.name, id=volume.id, why=why)

    def _refuse_in_use(self, entries: Sequence[Volume], pool: Pool) -> None:
        places = {pool.mountpoint(entry): entry for entry in entries if entry.spec.keeps_data}
        if not places or (len(places) > 1 and not self._mounts.might_use(places)):
            return
        for place, entry in places.items():
            users = self._mounts.users(place)
            if users:
                raise VolumeInUse(
                    f"removed volume {entry.name!r} ({entry.id}) stays: {users[0].command} (pid {users[0].pid}) has it "
                    f"mounted at {users[0].mountpoint}; stop that first"
                )

    def _as_it_was(self, entry: Volume, name: str, pool: Pool) -> Volume:
        """Return a removed volume as a live one.

        A row without options may be that of a volume that was unreadable: its descriptor tells.
        """
        live = msgspec.structs.replace(entry, name=name, phase=Phase.READY, removed=None, until=None)
        if pool.traits.shared or entry.spec != VolumeSpec(pool=pool.name):
            return live
        try:
            spec = in_pool(pool.read_trashed(entry.id), pool.name).spec
        except StorageFailed as error:
            self._log.warning("undeleted, and not mounted until mended", volume=name, error=str(error))
            return msgspec.structs.replace(live, phase=Phase.UNREADABLE)
        return msgspec.structs.replace(live, spec=spec)

    def _find(self, name: str) -> Volume:
        """Return the latest of a name, or the one with that id; where both look alike the name comes first."""
        named = [volume for volume in self._catalog.trashed() if volume.name == name]
        found = max(named, key=_removal) if named else self._catalog.find_trashed(name)
        if found is None:
            raise NoSuchTrash(name)
        return found

    def _unchanged(self, volume: Volume) -> Volume:
        """Return the volume; not one that was undeleted since it was chosen, and removed once more, with a new time."""
        entry = self._still(volume)
        if entry != volume:
            raise StorageFailed(
                f"removed volume {entry.name!r} ({entry.id}) has changed meanwhile and stays: see `pyvol trash ls`"
            )
        return entry

    def _still(self, volume: Volume) -> Volume:
        """Return the volume as it is now that its lock is held."""
        found = self._catalog.find_trashed(volume.id)
        if found is None:
            raise NoSuchTrash(volume.name)
        return found


def _ignore(_: int) -> None:
    """Nobody waits for it."""


def _removal(volume: Volume) -> tuple[str, str]:
    return (volume.removed.isoformat() if volume.removed else "", volume.id)
