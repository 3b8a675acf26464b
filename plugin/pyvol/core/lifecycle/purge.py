"""Deletes files permanently, in the background, however long that takes."""

from pyvol.core.errors import StorageFailed
from pyvol.core.ports.host import Catalog, Log
from pyvol.core.ports.pool import PurgeablePool


class Purge:
    """Deletes the directories that wait for it in the pools' `staging/`.

    Args:
        catalog: what exists.
        log: gets a warning for each directory that cannot be deleted.

    Attributes:
        stuck: by id, why the last attempt to delete a directory failed.
    """

    def __init__(self, catalog: Catalog, log: Log) -> None:
        self._catalog = catalog
        self._log = log
        self.stuck: dict[str, str] = {}

    def purge(self, pool: PurgeablePool) -> bool:
        """Delete what waits for it in a pool. Return whether anything was deleted.

        A failure does not stop the rest.
        """
        try:
            pending_deletion = pool.pending_deletion()
        except StorageFailed as error:
            if not pool.traits.reports_outages:
                self._log.warning("pool not purged", pool=pool.name, error=str(error))
            return False
        # Read after the listing: what still has a row was staged a moment ago, and its commit has yet to
        # come.
        known = {volume.id for volume in (*self._catalog.live(), *self._catalog.trashed())}
        is_any_deleted = False
        for volume_id in sorted(pending_deletion - known):
            try:
                pool.purge(volume_id)
            except StorageFailed as error:
                if self.stuck.get(volume_id) != str(error):
                    self._log.warning("not deleted", pool=pool.name, id=volume_id, error=str(error))
                self.stuck[volume_id] = str(error)
            else:
                self.stuck.pop(volume_id, None)
                is_any_deleted = True
        return is_any_deleted
