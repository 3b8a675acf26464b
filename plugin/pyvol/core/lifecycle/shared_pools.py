"""Pools that several hosts share: the manifests on the share are the truth, the catalog is this host's copy.

The catalog learns what other hosts create and remove. While the share is out of reach, the catalog stays as
it is and answers.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from pyvol.core.concurrency.named_locks import NamedLocks
from pyvol.core.errors import Busy, StorageFailed, VolumeInUse
from pyvol.core.model.volume import ID, NAME, Phase, Volume, in_pool
from pyvol.core.ports.host import Catalog, Log
from pyvol.core.ports.pool import Holder, SharedPool, VolumeChanged

T = TypeVar("T")

ATTEMPTS = 3
"""How often an act is tried on a volume that other hosts change at the same time."""


class ForeignClaims(NamedTuple):
    """What other hosts have mounted of the shared pools.

    Attributes:
        holders: the hosts, with their volumes.
        not_asked: by pool, why its server could not be asked.
    """

    holders: Sequence[Holder]
    not_asked: Mapping[str, str]


class SharedPools:
    """The shared pools of this host.

    Args:
        catalog: this host's copy.
        pools: the shared pools by name.
        locks: the locks of the volumes.
        log: the log; it gets what other hosts have changed.
    """

    def __init__(self, catalog: Catalog, pools: Mapping[str, SharedPool], locks: NamedLocks, log: Log) -> None:
        self._catalog = catalog
        self._pools = pools
        self._locks = locks
        self._log = log
        self._left_alone: set[tuple[str, str, str]] = set()

    def has(self, pool_name: str) -> bool:
        """Return whether a pool is shared."""
        return pool_name in self._pools

    def look_up(self, name: str) -> Volume | None:
        """Return a volume that another host may have created a moment ago."""
        for pool in self._pools.values():
            found = pool.look_up(name)
            if found is not None:
                return self._save(pool, name, found)
        return None

    def current(self, volume: Volume) -> Volume:
        """Return a volume as it is now: another host may have changed or recreated it."""
        pool = self._pools.get(volume.spec.pool)
        found = None if pool is None else pool.look_up(volume.name)
        return volume if found is None else self._learn_change(volume, found)

    def on_current(self, volume: Volume, act: Callable[[Volume], T]) -> T:
        """Run an act on a volume.

        If another host has changed the volume, learn that and run the act once more.

        Raises what the act raises, and `StorageFailed` if the volume changes each time.
        """
        for _ in range(ATTEMPTS):
            try:
                return act(volume)
            except VolumeChanged as changed:
                volume = self._learn_change(volume, changed.current)
        raise StorageFailed(
            "cannot be used", "another host changes it again and again", "try again later", volume=volume.name
        )

    def _learn_change(self, volume: Volume, found: Volume) -> Volume:
        pool = self._pools[volume.spec.pool]
        now = msgspec.structs.replace(in_pool(found, pool.name), name=volume.name, phase=Phase.READY)
        if now.id != volume.id:
            self._refuse_double(pool, now.id, now.name)
            self._catalog.forget(volume)
        if now != volume:
            self._catalog.save(now)
            self._log.info("volume changed by another host", volume=now.name, pool=pool.name)
        return now

    def take_in(self, pool_name: str, name: str) -> Volume | None:
        """Return the volume that another host has created under a name; None if the pool is not shared."""
        pool = self._pools.get(pool_name)
        return None if pool is None else self._save(pool, name, pool.read_live(name))

    def unknown(self, pool_name: str) -> list[Volume]:
        """Return the volumes in a pool that this host has not learned yet.

        Raise `StorageFailed` if it is out of reach.

        Reads the names in the pool, and the manifests of unknown names. Leaves out what cannot be read.
        """
        pool = self._pools.get(pool_name)
        if pool is None:
            return []
        known = {volume.name for volume in self._of(pool)}
        found = []
        for name in sorted(pool.listing().live - known):
            with suppress(StorageFailed):  # the watcher logs it
                found.append(in_pool(pool.read_live(name), pool_name))
        return found

    def refresh(self) -> None:
        """Learn what other hosts have changed. Waits for a moment at most."""
        for pool in self._pools.values():
            pool.refresh()

    def request_refresh(self) -> None:
        """Make the watchers look for what other hosts have changed. Does not wait."""
        for pool in self._pools.values():
            pool.request_refresh()

    def holders(self) -> ForeignClaims:
        """Return which other hosts have which volumes mounted, and of which pools that is not known."""
        found, not_asked = list[Holder](), dict[str, str]()
        for pool in self._pools.values():
            names = {volume.id: volume.name for volume in self._of(pool)}
            try:
                found += [holder._replace(volume=names.get(holder.volume, holder.volume)) for holder in pool.holders()]
            except StorageFailed as error:
                not_asked[pool.name] = str(error)
        return ForeignClaims(found, not_asked)

    def follow(self, pool: SharedPool) -> None:
        """Make the catalog match a pool. Raise `StorageFailed` if the pool is out of reach."""
        known = self._of(pool)
        trashed = {volume.id: volume for volume in self._catalog.trashed() if volume.spec.pool == pool.name}
        listing = pool.listing()  # after the catalog, so that a volume created in between does not look removed
        live = {volume.name for volume in known}
        gone = [volume for volume in known if volume.name not in listing.live]
        gone += [volume for volume in trashed.values() if volume.id not in listing.trashed]
        lessons = [
            *(partial(self._learn_removal, pool, volume_id) for volume_id in sorted(listing.trashed - trashed.keys())),
            *(partial(self._learn, pool, name) for name in sorted(listing.live - live)),
            *(partial(self._forget, pool, volume) for volume in gone),
        ]
        for lesson in lessons:
            with suppress(Busy):  # a busy volume does not delay the others: a later round tries again
                lesson()
        self._release_locks_of_deleted(pool)

    def hold_claimed(self, pool: SharedPool) -> None:
        """Hold the volumes that this host's engines have mounted, after pyvol or the server restarted."""
        for name in {claim.volume for claim in self._catalog.claims()}:
            volume = self._catalog.find(name)
            if volume is None or volume.spec.pool != pool.name:
                continue
            try:
                with self._locks.hold(name):
                    if self._catalog.claims(name):
                        pool.hold(volume)
            except Busy:
                continue  # another request is about to hold or release it; otherwise the next round does
            except (StorageFailed, VolumeInUse) as error:
                self._log.warning("volume is mounted here, and other hosts do not know", error=str(error))

    def clear_unfinished(self, pool: SharedPool) -> None:
        """Delete what crashes of any host have left in `staging/`, long ago. Ignore a share that refuses."""
        try:
            unfinished = pool.clear_unfinished()
        except StorageFailed as error:
            self._log.debug("unfinished volumes stay", pool=pool.name, error=str(error))
        else:
            if unfinished:
                self._log.info("unfinished volumes deleted", pool=pool.name, count=unfinished)

    def _release_locks_of_deleted(self, pool: SharedPool) -> None:
        """Release locks of this host on names without a volume in the pool."""
        for volume in pool.held():
            with suppress(Busy):
                if not self._knows(pool, volume.name):
                    with self._locks.hold(volume.name):
                        if not self._knows(pool, volume.name):
                            pool.detach(volume)
                            self._log.info("lock of a deleted volume released", volume=volume.name)

    def _knows(self, pool: SharedPool, name: str) -> bool:
        volume = self._catalog.find(name)
        return volume is not None and volume.spec.pool == pool.name

    def _of(self, pool: SharedPool) -> list[Volume]:
        return [volume for volume in self._catalog.live() if volume.spec.pool == pool.name]

    def _learn(self, pool: SharedPool, name: str) -> None:
        other = self._catalog.find(name)
        if not NAME.fullmatch(name) or (other is not None and other.spec.pool != pool.name):
            why = f"pool {other.spec.pool!r} has a volume of that name" if other else "no volume can be called so"
            if (pool.name, name, why) not in self._left_alone:
                self._left_alone.add((pool.name, name, why))
                self._log.warning("directory left alone", directory=name, pool=pool.name, why=why)
            return
        try:
            with self._locks.hold(name):
                self._save(pool, name, pool.read_live(name))
        except StorageFailed as error:
            if (pool.name, name, str(error)) not in self._left_alone:
                self._left_alone.add((pool.name, name, str(error)))
                self._log.warning("volume of another host cannot be read", volume=name, error=str(error))

    def _save(self, pool: SharedPool, name: str, found: Volume) -> Volume:
        """Save a volume that was found under a name, unless the catalog has it already."""
        known = self._catalog.find(name)
        if known is not None:
            return known
        self._refuse_double(pool, found.id, name)
        volume = msgspec.structs.replace(in_pool(found, pool.name), name=name, phase=Phase.READY)
        self._catalog.save(volume)
        self._log.info("volume of another host taken in", volume=name, pool=pool.name)
        return volume

    def _refuse_double(self, pool: SharedPool, volume_id: str, name: str) -> None:
        """Raise `StorageFailed` if another volume has an id: its record would be overwritten.

        If another host has restored the volume under another name, the old name is forgotten first.
        """
        other = self._catalog.find_id(volume_id)
        if other is None or other.name == name:
            other = self._catalog.find_trashed(volume_id)
            if other is None or other.spec.pool == pool.name:
                return
        raise StorageFailed(
            "cannot be used",
            f"volume {other.name!r} has the same id {volume_id}, so one of the two is a copy",
            "write another id of sixteen hex digits into volume.json of the copy",
            volume=name,
        )

    def _learn_removal(self, pool: SharedPool, volume_id: str) -> None:
        if not ID.fullmatch(volume_id):
            return  # the doctor reports it
        try:
            found = pool.read_trashed(volume_id)
        except StorageFailed as error:
            self._log.debug("removed volume of another host not read", id=volume_id, error=str(error))
            return
        live = self._catalog.find_id(volume_id)
        name = live.name if live is not None and live.spec.pool == pool.name else found.name
        with self._locks.hold(name):
            if self._catalog.find_trashed(volume_id) is None and not self._is_anothers(pool, volume_id):
                self._catalog.save(msgspec.structs.replace(in_pool(found, pool.name), name=name))
                self._log.info("volume removed by another host", volume=name, id=volume_id, pool=pool.name)

    def _is_anothers(self, pool: SharedPool, volume_id: str) -> bool:
        live = self._catalog.find_id(volume_id)
        return live is not None and live.spec.pool != pool.name

    def _forget(self, pool: SharedPool, volume: Volume) -> None:
        with self._locks.hold(volume.name):
            now = self._catalog.find_trashed(volume.id) if volume.phase is Phase.TRASHED else self._live(volume)
            try:
                if now != volume or pool.holds(volume):
                    return  # it has changed since the listing
            except StorageFailed as error:  # something other than a directory has its place: it is not gone
                if (pool.name, volume.name, str(error)) not in self._left_alone:
                    self._left_alone.add((pool.name, volume.name, str(error)))
                    self._log.warning("volume is kept, its directory cannot be looked up", error=str(error))
                return
            self._catalog.forget(volume)
        self._log.info("volume is gone, removed by another host", volume=volume.name, id=volume.id, pool=pool.name)

    def _live(self, volume: Volume) -> Volume | None:
        return self._catalog.find(volume.name)
