"""What was discarded is deleted for good, in the background: it takes as long as it takes."""

from pyvol.core.errors import StorageFailed
from pyvol.core.ports.host import Catalog, Log
from pyvol.core.ports.pool import Pool


class Purge:
    """The deletions in the pools of this host.

    Args:
        catalog: what exists.
        log: where it is written down what could not be deleted.

    Attributes:
        stuck: by id, why what was discarded could not be deleted when it was last tried.
    """

    def __init__(self, catalog: Catalog, log: Log) -> None:
        self._catalog = catalog
        self._log = log
        self.stuck: dict[str, str] = {}

    def purge(self, pool: Pool) -> bool:
        """Delete for good what was discarded in a pool; tell whether anything was. One that can't be stops no other."""
        try:
            pending_deletion = pool.pending_deletion()
        except StorageFailed as error:
            if not pool.is_remote:  # of a server that is down the log has spoken
                self._log.warning("pool not swept", pool=pool.name, error=str(error))
            return False
        # Asked after that: what still has a row was discarded a moment ago, and its commit is under way.
        known = {volume.id for volume in (*self._catalog.live(), *self._catalog.trashed())}
        swept = False
        for volume_id in sorted(pending_deletion - known):
            try:
                pool.purge(volume_id)
            except StorageFailed as error:
                if self.stuck.get(volume_id) != str(error):
                    self._log.warning("not deleted", pool=pool.name, id=volume_id, error=str(error))
                self.stuck[volume_id] = str(error)
            else:
                self.stuck.pop(volume_id, None)
                swept = True
        return swept
