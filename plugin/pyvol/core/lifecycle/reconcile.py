"""Makes the catalog match the disk at a start, so that any crash leaves each volume whole or absent.

Every change is a rename on disk and then a commit of the catalog. A crash between them leaves the directory
where the rename put it. This module finds the directory and commits what is missing. The same rules adopt a
pool that comes from another host, and rebuild a catalog that was lost.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime

import msgspec

from pyvol.core.errors import StorageFailed
from pyvol.core.lifecycle.rename import with_name
from pyvol.core.model.volume import ID, NAME, Phase, Volume, VolumeSpec, in_pool
from pyvol.core.ports.host import Catalog, Clock, Log
from pyvol.core.ports.pool import Pool, PoolListing


class Reconciler:
    """Makes the catalog match the pools.

    Args:
        catalog: what exists.
        pools: the pools of this host alone, by name.
        clock: the time.
        new_id: returns a new id for a volume.
        log: gets a line for each repair.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        pools: Mapping[str, Pool],
        clock: Clock,
        new_id: Callable[[], str],
        log: Log,
    ) -> None:
        self._catalog = catalog
        self._pools = pools
        self._clock = clock
        self._new_id = new_id
        self._log = log

    def run(self) -> None:
        """Reconcile each pool. Log each pool that cannot be read, and leave its records as they are."""
        for pool in self._pools.values():
            try:
                self._reconcile(pool)
            except StorageFailed as error:
                self._log.warning("pool not reconciled", pool=pool.name, error=str(error))

    def take_in(self, pool: Pool, name: str) -> Volume:
        """Return the volume of a directory that has no row. The caller holds the lock of the name."""
        return self._adopt(pool, name, self._taken(pool, pool.listing()))

    def _reconcile(self, pool: Pool) -> None:
        try:
            unfinished = pool.clear_unfinished()
        except StorageFailed as error:  # one directory that cannot be looked at keeps no volume from the catalog
            self._log.warning("unfinished volumes stay", pool=pool.name, error=str(error))
        else:
            if unfinished:
                self._log.info("unfinished volumes deleted", pool=pool.name, count=unfinished)
        listing = pool.listing()
        live = {volume.name: volume for volume in self._catalog.live() if volume.spec.pool == pool.name}
        for earlier, renamed in self._renamed(pool, live, listing):
            del live[earlier.name]
            live[renamed.name] = renamed
        # Directories first: an undeleted volume is found by its id, and its row in the trash still has that
        # id.
        self._catalog.save(*self._adopted(pool, listing, listing.live - live.keys()))
        self._catalog.save(*self._repaired(pool, live, listing))
        self._catalog.save(*self._trashed(pool, listing))
        for volume in live.values():
            if volume.name not in listing.live and self._catalog.find(volume.name) == volume:
                self._settle_absent(pool, volume, listing)
        for volume in list(self._catalog.trashed()):
            if volume.spec.pool == pool.name and volume.id not in listing.trashed:
                self._settle_absent(pool, volume, listing)

    def _renamed(self, pool: Pool, live: Mapping[str, Volume], listing: PoolListing) -> list[tuple[Volume, Volume]]:
        """Finish interrupted renames: the directory has the new name, and the row the old name."""
        missing = {volume.id: volume for volume in live.values() if volume.name not in listing.live}
        done = []
        for name in sorted(listing.live - live.keys()) if missing else ():
            try:
                known = missing.get(pool.read_live(name).id)
            except StorageFailed:  # `_adopt` logs it
                continue
            if known is not None and NAME.fullmatch(name) and self._catalog.find(name) is None:
                renamed = with_name(known, name)
                self._describe(pool, renamed)
                self._catalog.rename(known, renamed)
                del missing[known.id]
                self._log.info("renaming finished", volume=name, renamed_from=known.name, pool=pool.name)
                done.append((known, renamed))
        return done

    def _taken(self, pool: Pool, listing: PoolListing) -> set[str]:
        """Return the ids of other volumes: live, in the trash of any pool, or waiting for their deletion."""
        elsewhere = (volume for volume in self._catalog.trashed() if volume.spec.pool != pool.name)
        return (
            {volume.id for volume in (*self._catalog.live(), *elsewhere)} | listing.trashed | listing.pending_deletion
        )

    def _adopted(self, pool: Pool, listing: PoolListing, names: AbstractSet[str]) -> Iterator[Volume]:
        """Yield the volumes of directories without a row."""
        ids = self._taken(pool, listing)
        for name in sorted(names):
            other = self._catalog.find(name)
            if other is not None or not NAME.fullmatch(name):
                why = f"pool {other.spec.pool!r} has a volume of that name" if other else "no volume can be called so"
                self._log.warning("directory left alone", directory=name, pool=pool.name, why=why)
                continue
            volume = self._adopt(pool, name, ids)
            ids.add(volume.id)
            yield volume

    def _adopt(self, pool: Pool, name: str, ids: AbstractSet[str]) -> Volume:
        try:
            found = pool.read_live(name)
        except StorageFailed as error:
            self._log.warning(
                "manifest cannot be read: its volume is listed, but cannot be mounted",
                volume=name,
                error=str(error),
            )
            return Volume(self._new_id(), name, VolumeSpec(pool=pool.name), self._now(), Phase.UNREADABLE)
        # A directory that a user has copied has the id of its original, and an id belongs to one volume only.
        volume_id = self._new_id() if found.id in ids else found.id
        former = found.former if volume_id == found.id else ()
        volume = msgspec.structs.replace(in_pool(found, pool.name), id=volume_id, name=name, former=former)
        if volume != found:
            self._describe(pool, volume)
        self._log.info("volume found on disk and taken into the catalog", volume=name, pool=pool.name)
        return volume

    def _describe(self, pool: Pool, volume: Volume) -> None:
        """Write a manifest.

        Only log a failure: the row has the same, and no row may be missing (engine fact 1).
        """
        try:
            pool.write_manifest(volume)
        except StorageFailed as error:
            self._log.warning("manifest not written", volume=volume.name, error=str(error))

    def _repaired(self, pool: Pool, live: Mapping[str, Volume], listing: PoolListing) -> Iterator[Volume]:
        for volume in live.values():
            if volume.phase is Phase.UNREADABLE and volume.name in listing.live:
                try:
                    found = pool.read_live(volume.name)
                except StorageFailed as error:
                    self._log.warning("manifest still cannot be read", volume=volume.name, error=str(error))
                else:
                    self._log.info("manifest can be read again", volume=volume.name)
                    yield msgspec.structs.replace(in_pool(found, pool.name), id=volume.id, name=volume.name)

    def _trashed(self, pool: Pool, listing: PoolListing) -> Iterator[Volume]:
        """Yield removed volumes without a row: a removal was interrupted, or the catalog is new."""
        known = {volume.id for volume in self._catalog.trashed()}
        # A copy in the trash of one pool leaves the row of its original, a live volume of another pool, as it
        # is.
        live = (
            volume for volume in self._catalog.live() if volume.spec.pool != pool.name or volume.name in listing.live
        )
        known |= {volume.id for volume in live}
        for volume_id in sorted(listing.trashed - known):
            if not ID.fullmatch(volume_id):
                why = "no removed volume is called so"
                self._log.warning("directory left alone", directory=volume_id, pool=pool.name, why=why)
                continue
            cut_short = self._catalog.find_id(volume_id)
            try:
                found = pool.read_trashed(volume_id)
            except StorageFailed as error:
                self._log.warning("descriptor in the trash cannot be read", id=volume_id, error=str(error))
                if cut_short is None:
                    continue
                found = msgspec.structs.replace(cut_short, phase=Phase.TRASHED, removed=self._clock())
            # After an interrupted removal the row has what was removed, and the directory when.
            row = cut_short or found
            self._log.info("volume found in the trash", volume=row.name, id=volume_id, pool=pool.name)
            times = {"removed": found.removed, "until": found.until}
            yield msgspec.structs.replace(in_pool(row, pool.name), id=volume_id, phase=Phase.TRASHED, **times)

    def _settle_absent(self, pool: Pool, volume: Volume, listing: PoolListing) -> None:
        if volume.id in listing.pending_deletion:
            self._catalog.forget(volume)
            self._log.info("permanent removal finished", volume=volume.name, pool=pool.name)
        else:
            # The directory may come back with its disk: pyvol never forgets a volume by itself (promise 1).
            self._log.warning("directory is missing", volume=volume.name, id=volume.id, pool=pool.name)

    def _now(self) -> datetime:
        return self._clock().replace(microsecond=0)
