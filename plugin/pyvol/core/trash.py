"""The trash: what was removed, brought back, or let go when its time is over or the room is needed."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from pyvol.core.errors import NoSuchTrash, PyvolError, StorageFailed, VolumeExists, VolumeInUse
from pyvol.core.home import pool_of
from pyvol.core.locks import NamedLocks
from pyvol.core.model import Phase, Volume, check_name
from pyvol.core.overlap import AdoptedDirectories
from pyvol.core.pool import Pool
from pyvol.core.ports import Catalog, Clock, Journal, MountTable
from pyvol.core.undoing import taking_back

JUMP = timedelta(hours=1)
"""A clock that goes ahead of time by more was set, and not kept in step."""


class Emptied(NamedTuple):
    """What an emptying let go of, and what it could not."""

    gone: list[Volume]
    failed: list[str]


class Trash:
    """Removed volumes of this host.

    Args:
        catalog: what exists.
        pools: by name.
        clock: the time.
        steady: seconds that pass whatever the clock is set to.
        journal: where it is written down what happened.
        locks: shared with the volumes.
        mounts: what the kernel says is mounted.
        min_free_percent: under this much free room in a pool its trash goes before its time, oldest first.
        wake_reaper: called when there is something to delete in the background.
        adopted: the directories that volumes have adopted; shared with the volumes.

    Attributes:
        stuck: by id, why what was discarded could not be deleted when it was last tried.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each port by its name
        self,
        *,
        catalog: Catalog,
        pools: Mapping[str, Pool],
        clock: Clock,
        steady: Callable[[], float],
        journal: Journal,
        locks: NamedLocks,
        mounts: MountTable,
        min_free_percent: float,
        wake_reaper: Callable[[], None],
        adopted: AdoptedDirectories,
    ) -> None:
        self._adopted = adopted
        self._catalog = catalog
        self._pools = pools
        self._clock = clock
        self._steady = steady
        self._looked = (clock(), steady())
        self._journal = journal
        self._locks = locks
        self._mounts = mounts
        self._min_free_percent = min_free_percent
        self._wake_reaper = wake_reaper
        self.stuck: dict[str, str] = {}

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
        with (
            self._locks.hold(target),
            self._locks.hold(f"id={entry.id}", f"removed volume {entry.name!r}"),
            self._adopted.keeping(target, entry.spec),
        ):
            entry = self._still(entry)
            if self._catalog.find(target) is not None:
                raise VolumeExists(
                    f"volume {target!r} exists: bring the removed one back with `pyvol undelete {name} --as NEW_NAME`"
                )
            pool = pool_of(self._pools, entry)
            live = msgspec.structs.replace(entry, name=target, phase=Phase.READY, removed=None, until=None)
            with taking_back(pool.from_trash(live), target, self._journal):
                self._catalog.save(live)
        self._journal.info("volume undeleted", volume=target, id=entry.id, removed_as=entry.name)
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
        return self._purge_all(chosen, "emptied by hand")

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
        gone, failed = self._purge_all(over, "over its time")
        for name, pool in self._pools.items():
            # An adopted path, and what is mounted, stays where it is, so that its record in the trash takes no room.
            rest = [v for v in dated if v.spec.pool == name and v.spec.keeps_data]
            if rest and self._is_short(pool):
                more = self._purge_all([min(rest, key=_removal)], "its pool is short of room")
                gone += more.gone
                failed += more.failed
        return Emptied(gone, failed)

    def sweep(self) -> bool:
        """Delete for good what was discarded; tell whether anything was. One that can't be holds nothing else up."""
        swept = False
        for pool in self._pools.values():
            try:
                discarded = pool.census().discarded
            except StorageFailed as error:
                if not pool.is_remote:  # of a server that is down the log has spoken
                    self._journal.warning("pool not swept", pool=pool.name, error=str(error))
                continue
            # Asked after the census: what still has a row was discarded a moment ago, and its commit is under way.
            known = {volume.id for volume in (*self._catalog.live(), *self._catalog.trashed())}
            for volume_id in sorted(discarded - known):
                try:
                    pool.sweep(volume_id)
                except StorageFailed as error:
                    if self.stuck.get(volume_id) != str(error):
                        self._journal.warning("not deleted", pool=pool.name, id=volume_id, error=str(error))
                    self.stuck[volume_id] = str(error)
                else:
                    self.stuck.pop(volume_id, None)
                    swept = True
        return swept

    def _renew_skipped(self, now: datetime) -> None:
        """Give its whole time anew to what is over it only because the clock was set ahead since the last look."""
        steady = self._steady()
        looked, looked_steady = self._looked
        due = looked + timedelta(seconds=steady - looked_steady)
        if now - due > JUMP:
            skipped = [v for v in self._catalog.trashed() if v.removed and v.until and due < v.until <= now]
            for volume in skipped:
                with self._locks.hold(f"id={volume.id}", f"removed volume {volume.name!r}"):
                    if volume.removed and volume.until and self._catalog.find_trashed(volume.id) == volume:
                        until = now + (volume.until - volume.removed)
                        self._catalog.save(msgspec.structs.replace(volume, until=until))
            self._journal.warning("the clock was set ahead: see that it is right", was=due, now=now, kept=len(skipped))
        self._looked = (now, steady)

    def _is_short(self, pool: Pool) -> bool:
        try:
            if pool.census().discarded - self.stuck.keys():
                return False  # what is on its way out has not made its room yet
            return pool.space().free_percent < self._min_free_percent
        except StorageFailed as error:
            if not pool.is_remote:
                self._journal.warning("room in pool unknown", pool=pool.name, error=str(error))
            return False

    def _purge_all(self, chosen: Collection[Volume], why: str) -> Emptied:
        result = Emptied([], [])
        for volume in chosen:
            try:
                self._purge(volume, why)
            except PyvolError as error:
                result.failed.append(str(error))
                self._journal.warning("trash not emptied", volume=volume.name, id=volume.id, error=str(error))
            else:
                result.gone.append(volume)
        if result.gone:
            self._wake_reaper()
        return result

    def _purge(self, volume: Volume, why: str) -> None:
        with self._locks.hold(f"id={volume.id}", f"removed volume {volume.name!r}"):
            entry = self._still(volume)
            if entry != volume:  # undeleted since it was chosen, and removed once more: it has its whole time anew
                raise StorageFailed(
                    f"removed volume {entry.name!r} ({entry.id}) has changed meanwhile and stays: see `pyvol trash ls`"
                )
            pool = pool_of(self._pools, entry)
            users = () if not entry.spec.keeps_data else self._mounts.users(pool.mountpoint(entry))
            if users:
                raise VolumeInUse(
                    f"removed volume {entry.name!r} ({entry.id}) stays: {users[0].command} (pid {users[0].pid}) has it "
                    f"mounted at {users[0].mountpoint}"
                )
            with taking_back(pool.discard(entry), entry.name, self._journal):
                self._catalog.forget(entry)
        self._journal.info("removed volume deleted for good", volume=volume.name, id=volume.id, why=why)

    def _find(self, name: str) -> Volume:
        """Return the latest of a name, or the one with that id; where both look alike the name comes first."""
        named = [volume for volume in self._catalog.trashed() if volume.name == name]
        found = max(named, key=_removal) if named else self._catalog.find_trashed(name)
        if found is None:
            raise NoSuchTrash(name)
        return found

    def _still(self, volume: Volume) -> Volume:
        """Return the volume as it is now that its lock is held."""
        found = self._catalog.find_trashed(volume.id)
        if found is None:
            raise NoSuchTrash(volume.name)
        return found


def _removal(volume: Volume) -> tuple[str, str]:
    return (volume.removed.isoformat() if volume.removed else "", volume.id)
