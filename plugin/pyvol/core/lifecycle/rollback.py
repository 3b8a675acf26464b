"""What an act did on disk is taken back when what follows fails, as the catalog may: an error has changed nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyvol.core.errors import PyvolError, StorageFailed
from pyvol.core.ports.host import Log
from pyvol.core.ports.pool import Rollback


@contextmanager
def rolling_back(undo: Rollback, name: str, log: Log) -> Iterator[None]:
    """Run the rest of an act in the body, the catalog's part; take the disk's part back where that fails."""
    try:
        yield
    except PyvolError:
        try:
            undo()
        except StorageFailed as error:
            log.warning("half-done work is settled at the next start", volume=name, error=str(error))
        raise
