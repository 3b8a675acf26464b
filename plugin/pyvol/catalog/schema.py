"""The database: how pyvol opens it, its tables, and the migrations of older databases."""

import sqlite3
from contextlib import suppress
from pathlib import Path

from pyvol.core.errors import BadSetting
from pyvol.host.files.durable import reserve, sync_directory

LOG_BYTES = 5 << 20
"""Disk space that pyvol reserves for the database's log.

The log starts again after 4 MiB; the rest is for a full disk.

On a full disk, users must still be able to remove volumes and to empty the trash, or they could never make
room.
"""

MIGRATIONS = (
    """
    CREATE TABLE volumes (
        id      TEXT NOT NULL PRIMARY KEY,
        name    TEXT NOT NULL,
        spec    TEXT NOT NULL,
        created TEXT NOT NULL,
        phase   TEXT NOT NULL,
        removed TEXT,
        until   TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX live_names ON volumes (name) WHERE phase <> 'trashed';
    CREATE TABLE claims (
        volume     TEXT    NOT NULL,
        mount_id   TEXT    NOT NULL,
        generation INTEGER NOT NULL,
        count      INTEGER NOT NULL CHECK (count > 0),
        since      TEXT    NOT NULL,
        PRIMARY KEY (volume, mount_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE engine (
        one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
        boot_id    TEXT    NOT NULL,
        generation INTEGER NOT NULL
    ) STRICT;
    INSERT INTO engine VALUES (1, '', 0);
    CREATE TABLE put_aside (
        since TEXT NOT NULL,
        row   TEXT NOT NULL,
        why   TEXT NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE volumes ADD COLUMN former TEXT NOT NULL DEFAULT '[]';
    """,
    """
    ALTER TABLE volumes ADD COLUMN labels TEXT NOT NULL DEFAULT '[]';
    """,
)
"""One script a version: the script at index n makes version n + 1 of a database of version n."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, check it, and bring it to the current version.

    Raises:
        sqlite3.DatabaseError: it is corrupt (see `is_corrupt`), or the disk failed.
        BadSetting: it was made by a newer pyvol.
    """
    is_new = not path.exists()
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # A commit is on the disk when it returns (promise 2). NORMAL would lose the last ones in a power cut;
        # so would FULL where the file system refuses WAL: the journal's end would not be on the disk, and
        # undo them.
        db.execute("PRAGMA synchronous = EXTRA")
        _check(db)
        _migrate(db, path)
        with suppress(OSError):  # a disk too small or too full for it, or a file system that cannot
            reserve(f"{path}-wal", LOG_BYTES)
    except BaseException:
        db.close()
        raise
    if is_new:
        sync_directory(path.parent)
    return db


def is_corrupt(error: sqlite3.Error) -> bool:
    """Return whether the database is broken, rather than the disk full, failing or read-only."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # quick_check found it, see `connect`
        return True
    return (code & 0xFF) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _check(db: sqlite3.Connection) -> None:
    problem = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise sqlite3.DatabaseError(problem)


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise BadSetting(
            f"the catalog {path} cannot be read",
            f"a newer pyvol wrote it, in format {version}; this one knows {len(MIGRATIONS)}",
            "upgrade pyvol",
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
