"""The disk floor: the time of one durable commit on the file system of the state directory."""

import sqlite3
import time
from pathlib import Path
from types import TracebackType
from typing import Self


class CommittedRows:
    """A table in WAL mode with synchronous=FULL, like pyvol's catalog, that commits one row at a time."""

    def __init__(self, directory: Path) -> None:
        """Open the database in `directory`."""
        self.database = sqlite3.connect(directory / "commits.db", isolation_level=None)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = FULL")
        self.database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, what TEXT NOT NULL) STRICT")

    def __enter__(self) -> Self:
        """Return the object; the database is already open."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the database."""
        self.database.close()

    def commit(self) -> float:
        """Return the seconds of one insert that is committed to the disk."""
        begun = time.perf_counter()
        self.database.execute("INSERT INTO rows (what) VALUES (?)", ("x" * 200,))
        return time.perf_counter() - begun
