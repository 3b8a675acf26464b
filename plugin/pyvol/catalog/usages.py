"""What was counted, kept across restarts: a file beside the catalog that may be lost, for it can be counted again."""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from pyvol.catalog.schema import is_corrupt
from pyvol.core.ports.host import Log
from pyvol.core.status.usage import Usage

FILE_NAME = "usage.db"
TABLE = """
    CREATE TABLE IF NOT EXISTS usage (
        id TEXT NOT NULL PRIMARY KEY, bytes INTEGER NOT NULL, files INTEGER NOT NULL, counted TEXT NOT NULL,
        trouble TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
"""


class UsageStore:
    """The counts in `<state dir>/usage.db`. Implements `pyvol.core.status.usage.Store`.

    A failing disk only costs the counts: it is reported in the log.
    """

    def __init__(self, state_dir: Path, log: Log) -> None:
        self._path = state_dir / FILE_NAME
        self._log = log

    def load(self) -> dict[str, Usage]:
        """Return what is kept, by the volumes' ids; nothing when it can't be read."""
        try:
            with self._opened() as db:
                rows = db.execute("SELECT id, bytes, files, counted, trouble FROM usage").fetchall()
            return {row[0]: Usage(row[1], row[2], datetime.fromisoformat(row[3]), row[4]) for row in rows}
        except (sqlite3.Error, ValueError) as error:
            self._log.warning("counts cannot be read, and are counted again", file=self._path, error=str(error))
            if not isinstance(error, sqlite3.Error) or is_corrupt(error):  # else the disk failed, or the file is locked
                with suppress(OSError):  # the log has it; the next write fails and is reported
                    self._path.unlink()
            return {}

    def save(self, counted: dict[str, Usage], gone: Collection[str]) -> None:
        """Keep these counts, and those of ids that are gone no longer."""
        rows = [(key, u.bytes, u.files, u.counted.isoformat(), u.trouble) for key, u in counted.items()]
        try:
            with self._opened() as db:
                db.executemany("INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?, ?)", rows)
                db.executemany("DELETE FROM usage WHERE id = ?", [(key,) for key in gone])
        except sqlite3.Error as error:
            self._log.warning("counts cannot be kept", file=self._path, error=str(error))

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction."""
        with closing(sqlite3.connect(self._path)) as db, db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute(TABLE)
            yield db
