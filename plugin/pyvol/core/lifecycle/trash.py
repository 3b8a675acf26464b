"""The trash: removed volumes, until they are undeleted, they expire, or their pool needs the space."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

import msgspec

from pyvol.core.concurrency.jobs import JobKind
from pyvol.core.concurrency.named_locks import NamedLocks
from pyvol.core.concurrency.task import Task
from pyvol.core.errors import NoSuchTrash, PyvolError, StorageFailed, VolumeExists, VolumeInUse, naming
from pyvol.core.lifecycle.path_overlap import AdoptedDirectories
from pyvol.core.lifecycle.pool_lookup import pool_of
from pyvol.core.lifecycle.rollback import rolling_back
from pyvol.core.model.event_kind import EventKind
from pyvol.core.model.volume import Phase, Volume, VolumeSpec, check_name, in_pool
from pyvol.core.ports.host import Catalog, Clock, Monotonic, MountTable, VolumeLog
from pyvol.core.ports.pool import Pool

EMPTY = JobKind("empty trash", "volumes", at_once=1)
JUMP = timedelta(hours=1)
"""If the clock goes ahead by more than this, somebody has set it."""
BATCH = 256
"""How many removed volumes are deleted together: with one sync of the disk, and one commit."""


class Emptied(NamedTuple):
    """The volumes that were deleted, and a sentence for each volume that was not."""

    gone: list[Volume]
    failed: list[str]


class Trash:
    """Removed volumes of this host.

    Args:
        catalog: what exists.
        pools: by name.
        clock: the time.
        since_boot: seconds since the boot, which nobody can set; they continue while the host is suspended.
        log: the log.
        locks: shared with the volumes.
        mounts: what the kernel says is mounted.
        min_free_percent: with less free space in a pool than this, its oldest trash is deleted early.
        collect_garbage: called when there is something to delete in the background.
        adopted: the directories that volumes have adopted; shared with the volumes.
        stuck: by id, why the last attempt to delete a volume's files failed.

    Attributes:
        batch: how many removed volumes are deleted together.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each port by its name
        self,
        *,
        catalog: Catalog,
        pools: Mapping[str, Pool],
        clock: Clock,
        since_boot: Monotonic,
        log: VolumeLog,
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
        self.batch = BATCH

    def all(self) -> list[Volume]:
        """Return what can be undeleted, the latest removal first."""
        return sorted(self._catalog.trashed(), key=_removal, reverse=True)

    def undelete(self, name: str, new_name: str | None = None) -> Volume:
        """Bring back the latest removed volume of a name, or the removed volume with that id.

        Raises:
            NoSuchTrash: no volume of that name is in the trash.
            VolumeExists: another volume has the name; the message says how to choose another name.
        """
        entry = self._find(name)
        target = check_name(new_name or entry.name)
        pool = pool_of(self._pools, entry)
        live = self._as_it_was(entry, target, pool)
        with (
            naming(target, "cannot be undeleted"),
            self._locks.hold(target),
            self._locks.hold(f"id={entry.id}", entry.name),
            self._adopted.reserve(target, live.spec),
        ):
            self._unchanged(entry)
            if self._catalog.find(target) is not None:
                hint = f"bring the removed volume back with `pyvol undelete {name} --as NEW_NAME`"
                raise VolumeExists("exists", hint=hint, volume=target)
            with rolling_back(pool.from_trash(live), target, self._log):
                self._adopted.check_reserved(target, live.spec)
                self._catalog.save(live)
        self._log.event(EventKind.UNDELETED, target, id=entry.id, removed_as=entry.name)
        return live

    def choose(self, names: Collection[str] = (), *, kept_too: bool = False) -> Sequence[Volume]:
        """Return these removed volumes, by name or id; without names all that expire, or all (`kept_too`)."""
        for name in names:
            self._find(name)
        removed = self.all()
        if not names:
            return [volume for volume in removed if kept_too or volume.until is not None]
        ids = set(names) - {volume.name for volume in removed}  # a name comes before an id, as in `_find`
        return [volume for volume in removed if volume.name in names or volume.id in ids]

    def empty(self, chosen: Collection[Volume], task: Task) -> Emptied:
        """Permanently delete removed volumes. Skips volumes that have left the trash in the meantime."""
        return self._purge_all([v for v in chosen if self._catalog.find_trashed(v.id)], "emptied by hand", task)

    def expire(self, task: Task) -> Emptied:
        """Delete volumes that have expired, and the oldest volume of each pool that is short of room.

        Only one volume for each short pool: the room shows after the deletion, and then this is called again.
        """
        now = self._clock()
        self._renew_skipped(now)
        over: list[Volume] = []
        dated: list[Volume] = []
        for volume in self.all():
            if volume.until is not None:
                (over if volume.until <= now else dated).append(volume)
        gone, failed = self._purge_all(over, "expired", task)
        for name, pool in self._pools.items():
            # The files of an adopted path or a mount are not in the pool: deleting its record makes no room.
            rest = [v for v in dated if v.spec.pool == name and v.spec.keeps_data]
            if rest and self._is_short(pool):
                more = self._purge_one(sorted(rest, key=_removal), task)
                gone += more.gone
                failed += more.failed
        return Emptied(gone, failed)

    def _renew_skipped(self, now: datetime) -> None:
        """Renew the time of volumes that expired only because the clock was set ahead since the last call."""
        since_boot = self._since_boot()
        looked, then = self._looked
        due = looked + timedelta(seconds=since_boot - then)
        if now - due > JUMP:
            skipped = [v for v in self._catalog.trashed() if v.removed and v.until and due < v.until <= now]
            for volume in skipped:
                with self._locks.hold(f"id={volume.id}", volume.name):
                    if volume.removed and volume.until and self._catalog.find_trashed(volume.id) == volume:
                        until = now + (volume.until - volume.removed)
                        self._renew(msgspec.structs.replace(volume, until=until))
            self._log.warning("the clock was set ahead: check that it is right", was=due, now=now, kept=len(skipped))
        self._looked = (now, since_boot)

    def _renew(self, volume: Volume) -> None:
        try:
            pool_of(self._pools, volume).write_manifest(volume)
        except StorageFailed as error:  # the catalog has the new time; only a rebuild of it would lose that
            self._log.warning(
                "new expiry time not written to the pool", volume=volume.name, id=volume.id, error=str(error)
            )
        self._catalog.save(volume)

    def _is_short(self, pool: Pool) -> bool:
        try:
            if pool.pending_deletion() - self._stuck.keys():
                return False  # the room of pending deletions does not show yet
            return pool.space().free_percent < self._min_free_percent
        except StorageFailed as error:
            if not pool.traits.reports_outages:
                self._log.warning("room in pool unknown", pool=pool.name, error=str(error))
            return False

    def _purge_one(self, chosen: Sequence[Volume], task: Task) -> Emptied:
        """Delete the first volume that can be deleted: one that somebody has mounted is passed over."""
        failed: list[str] = []
        for volume in chosen[: self.batch]:
            gone, why_not = self._purge_all([volume], "its pool is short of room", task)
            failed += why_not
            if gone or task.must_end():
                return Emptied(gone, failed)
        return Emptied([], failed)

    def _purge_all(self, chosen: Collection[Volume], why: str, task: Task) -> Emptied:
        result = Emptied([], [])
        done = 0
        task.report(done, len(chosen))
        for batch in self._batches(chosen):
            if task.must_end():
                result.failed.append(f"{len(chosen) - done} removed volumes stay: {task.reason}; empty the trash again")
                break
            self._delete(batch, why, result)
            task.report(done := done + len(batch), len(chosen))
        if result.gone:
            self._collect_garbage()
        return result

    def _batches(self, chosen: Collection[Volume]) -> Iterator[Sequence[Volume]]:
        """Yield the volumes that can be deleted together: many of a local pool, one of a server's."""
        by_pool: dict[str, list[Volume]] = {}
        for volume in chosen:
            by_pool.setdefault(volume.spec.pool, []).append(volume)
        for name, volumes in by_pool.items():
            many = self.batch if name in self._pools and self._pools[name].traits.batch_deletes else 1
            for first in range(0, len(volumes), many):
                yield volumes[first : first + many]

    def _delete(self, batch: Sequence[Volume], why: str, result: Emptied) -> None:
        try:
            self._purge(batch, why)
        except PyvolError as error:
            if len(batch) > 1:  # to find which volume it was
                for volume in batch:
                    self._delete([volume], why, result)
                return
            (volume,) = batch
            if isinstance(error, NoSuchTrash):  # it was undeleted, or has expired, while others were deleted
                return
            result.failed.append(str(error))
            self._log.warning("trash not emptied", volume=volume.name, id=volume.id, error=str(error))
        else:
            result.gone.extend(batch)

    def _purge(self, batch: Sequence[Volume], why: str) -> None:
        with ExitStack() as held:
            for volume in sorted(batch, key=attrgetter("id")):  # other threads acquire them in the same order
                held.enter_context(self._locks.hold(f"id={volume.id}", volume.name))
            entries = [self._unchanged(volume) for volume in batch]
            pool = pool_of(self._pools, entries[0])
            self._refuse_in_use(entries, pool)
            with rolling_back(pool.stage_deletion(*entries), entries[0].name, self._log):
                self._catalog.forget(*entries)
        for volume in batch:
            self._log.event(EventKind.DELETED, volume.name, id=volume.id, why=why)

    def _refuse_in_use(self, entries: Sequence[Volume], pool: Pool) -> None:
        places = {pool.mountpoint(entry): entry for entry in entries if entry.spec.keeps_data}
        if not places or (len(places) > 1 and not self._mounts.might_use(places)):
            return
        for place, entry in places.items():
            users = self._mounts.users(place)
            if users:
                what = f"cannot be deleted from the trash ({entry.id})"
                cause = f"{users[0].command} (pid {users[0].pid}) has it mounted at {users[0].mountpoint}"
                raise VolumeInUse(what, cause, "stop that process first", volume=entry.name)

    def _as_it_was(self, entry: Volume, name: str, pool: Pool) -> Volume:
        """Return a removed volume as a live one.

        A row without options may be from a volume whose manifest was unreadable: then the manifest decides.
        """
        live = msgspec.structs.replace(entry, name=name, phase=Phase.READY, removed=None, until=None)
        if pool.traits.shared or entry.spec != VolumeSpec(pool=pool.name):
            return live
        try:
            spec = in_pool(pool.read_trashed(entry.id), pool.name).spec
        except StorageFailed as error:
            self._log.warning("undeleted, but its manifest cannot be read", volume=name, error=str(error))
            return msgspec.structs.replace(live, phase=Phase.UNREADABLE)
        return msgspec.structs.replace(live, spec=spec)

    def _find(self, name: str) -> Volume:
        """Return the latest removed volume of a name, or the one with that id; a name comes before an id."""
        named = [volume for volume in self._catalog.trashed() if volume.name == name]
        found = max(named, key=_removal) if named else self._catalog.find_trashed(name)
        if found is None:
            raise NoSuchTrash(name)
        return found

    def _unchanged(self, volume: Volume) -> Volume:
        """Return the volume, now that its lock is held.

        Raises:
            NoSuchTrash: it has left the trash since it was chosen.
            StorageFailed: it was undeleted and removed again since then, maybe with other options.
        """
        entry = self._catalog.find_trashed(volume.id)
        if entry is None:
            raise NoSuchTrash(volume.name)
        if entry != volume:
            what = f"in the trash ({entry.id}) was not touched"
            raise StorageFailed(what, "another request has changed it", "see `pyvol trash ls`", volume=entry.name)
        return entry


def _removal(volume: Volume) -> tuple[str, str]:
    return (volume.removed.isoformat() if volume.removed else "", volume.id)
