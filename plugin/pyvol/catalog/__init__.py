"""The volumes of this host and the claims on them: in SQLite, and in memory, which is always equal."""

from pyvol.catalog.catalog import SqliteCatalog

__all__ = ["SqliteCatalog"]
