"""What exists on this host and what is promised to containers: SQLite, and a memory of it that cannot differ."""

from pyvol.catalog.catalog import SqliteCatalog

__all__ = ["SqliteCatalog"]
