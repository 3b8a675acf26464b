"""Undo a change on disk if the commit of the catalog after it fails, so that an error changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyvol.core.errors import PyvolError, StorageFailed
from pyvol.core.ports.host import Log
from pyvol.core.ports.pool import Rollback


@contextmanager
def rolling_back(undo: Rollback, name: str, log: Log) -> Iterator[None]:
    """Run the catalog's part of a change in the body. Undo the disk's part if the body fails."""
    try:
        yield
    except PyvolError:
        try:
            undo()
        except StorageFailed as error:
            log.warning("half-done work is settled at the next start", volume=name, error=str(error))
        raise
