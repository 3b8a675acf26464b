"""The catalog: every write is a durable commit first and a change of memory second; every read is of memory alone.

One daemon holds the state directory's lock, so nobody else writes, and the memory cannot differ from the database.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pyvol.catalog import rows, schema
from pyvol.core.errors import BadSetting, CatalogFailed
from pyvol.core.model import Claim, Phase, Volume

FILE_NAME = "pyvol.db"

SAVE_VOLUME = """
    INSERT INTO volumes (id, name, spec, created, phase, removed, until) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, spec = excluded.spec, created = excluded.created,
        phase = excluded.phase, removed = excluded.removed, until = excluded.until
"""
SAVE_CLAIM = """
    INSERT INTO claims (volume, mount_id, generation, count, since) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (volume, mount_id) DO UPDATE SET generation = excluded.generation, count = excluded.count,
        since = excluded.since
"""


class SqliteCatalog:
    """The catalog in `<state dir>/pyvol.db`. Implements `pyvol.core.ports.Catalog`.

    Args:
        state_dir: an existing directory, locked by this process.
        boot_id: the kernel's; claims of another boot are dropped, for no container outlives a reboot.
    """

    def __init__(self, state_dir: Path, boot_id: str) -> None:
        self.repairs: list[str] = []
        self._path = state_dir / FILE_NAME
        self._db = self._open()
        self._lock = threading.Lock()
        self._live: dict[str, Volume] = {}
        self._trashed: dict[str, Volume] = {}
        self._claims: dict[str, dict[str, Claim]] = {}
        self._generation = 0
        try:
            self._load(boot_id)
        except sqlite3.Error as error:
            raise BadSetting(f"{self._path} cannot be used: {error}; mend the disk and start again") from error

    def find(self, name: str) -> Volume | None:
        """See `pyvol.core.ports.Catalog`."""
        return self._live.get(name)

    def live(self) -> Collection[Volume]:
        """See `pyvol.core.ports.Catalog`."""
        return list(self._live.values())

    def trashed(self) -> Collection[Volume]:
        """See `pyvol.core.ports.Catalog`."""
        return list(self._trashed.values())

    def save(self, *volumes: Volume) -> None:
        """See `pyvol.core.ports.Catalog`."""
        if not volumes:
            return
        with self._writing(volumes[0].name) as db:
            db.executemany(SAVE_VOLUME, map(rows.from_volume, volumes))
            gone = [(v.name,) for v in volumes if v.phase is Phase.TRASHED and v.name in self._claims]
            db.executemany("DELETE FROM claims WHERE volume = ?", gone)
            db.execute("COMMIT")
            for (name,) in gone:
                self._claims.pop(name, None)
            for volume in volumes:
                self._remember(volume)

    def forget(self, volume: Volume) -> None:
        """See `pyvol.core.ports.Catalog`."""
        holds_name = self._live.get(volume.name, volume).id == volume.id
        with self._writing(volume.name) as db:
            db.execute("DELETE FROM volumes WHERE id = ?", (volume.id,))
            if holds_name and volume.name in self._claims:
                db.execute("DELETE FROM claims WHERE volume = ?", (volume.name,))
            db.execute("COMMIT")
            if holds_name:
                self._claims.pop(volume.name, None)
            self._drop_from_memory(volume)

    def claim(self, volume: str, mount_id: str) -> Claim | None:
        """See `pyvol.core.ports.Catalog`."""
        return self._claims.get(volume, {}).get(mount_id)

    def claims(self, volume: str | None = None) -> Sequence[Claim]:
        """See `pyvol.core.ports.Catalog`."""
        if volume is not None:
            return list(self._claims.get(volume, {}).values())
        return [claim for held in list(self._claims.values()) for claim in list(held.values())]

    def save_claim(self, claim: Claim) -> None:
        """See `pyvol.core.ports.Catalog`."""
        with self._writing(claim.volume) as db:
            db.execute(SAVE_CLAIM, rows.from_claim(claim))
            db.execute("COMMIT")
            self._claims.setdefault(claim.volume, {})[claim.mount_id] = claim

    def drop_claim(self, claim: Claim) -> None:
        """See `pyvol.core.ports.Catalog`."""
        with self._writing(claim.volume) as db:
            db.execute("DELETE FROM claims WHERE volume = ? AND mount_id = ?", (claim.volume, claim.mount_id))
            db.execute("COMMIT")
            held = self._claims.get(claim.volume, {})
            held.pop(claim.mount_id, None)
            if not held:
                self._claims.pop(claim.volume, None)

    @property
    def generation(self) -> int:
        """See `pyvol.core.ports.Catalog`."""
        return self._generation

    def next_generation(self) -> int:
        """See `pyvol.core.ports.Catalog`."""
        with self._writing(None) as db:
            db.execute("UPDATE engine SET generation = ?", (self._generation + 1,))
            db.execute("COMMIT")
            self._generation += 1
            return self._generation

    def put_aside(self) -> list[str]:
        """Return the rows that could not be read and why, for the doctor."""
        with self._lock:
            return [f"{row}: {why}" for row, why in self._db.execute("SELECT row, why FROM put_aside")]

    def close(self) -> None:
        """Close the database; its write-ahead log is folded in."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _writing(self, name: str | None) -> Iterator[sqlite3.Connection]:
        """Hold the one writer's transaction; the body commits, so that memory changes under the same lock."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                whose = "" if name is None else f"volume {name!r}: "
                raise CatalogFailed(
                    f"{whose}the catalog {self._path} could not be written ({error}), so nothing has changed: "
                    "make room or mend the disk, and try again"
                ) from error

    def _open(self) -> sqlite3.Connection:
        try:
            try:
                return schema.connect(self._path)
            except sqlite3.DatabaseError as error:
                if not schema.is_corrupt(error):
                    raise
                self._put_file_aside(error)
                return schema.connect(self._path)
        except (sqlite3.Error, OSError) as error:
            raise BadSetting(f"{self._path} cannot be used: {error}; mend the disk and start again") from error

    def _put_file_aside(self, error: sqlite3.Error) -> None:
        aside = f"{FILE_NAME}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(FILE_NAME + suffix)
            if part.exists():
                part.rename(part.with_name(aside + suffix))
        self.repairs.append(f"catalog was corrupt ({error}): put aside as {aside}, and rebuilt from the descriptors")

    def _load(self, boot_id: str) -> None:
        with self._lock:
            self._load_volumes()
            boot, self._generation = self._db.execute("SELECT boot_id, generation FROM engine").fetchone()
            if boot != boot_id:
                self._db.execute("BEGIN IMMEDIATE")
                dropped = self._db.execute("DELETE FROM claims").rowcount
                self._db.execute("UPDATE engine SET boot_id = ?, generation = generation + 1", (boot_id,))
                self._db.execute("COMMIT")
                self._generation += 1
                if dropped:
                    self.repairs.append(f"{dropped} claims of an earlier boot dropped")
            for row in self._db.execute("SELECT volume, mount_id, generation, count, since FROM claims"):
                claim = rows.to_claim(row)
                self._claims.setdefault(claim.volume, {})[claim.mount_id] = claim

    def _load_volumes(self) -> None:
        bad = []
        reader = rows.VolumeReader()
        for row in self._db.execute("SELECT id, name, spec, created, phase, removed, until FROM volumes"):
            try:
                self._remember(reader.read(row))
            except (ValueError, msgspec.MsgspecError) as error:
                bad.append((row, str(error)))
        for row, why in bad:
            now = datetime.now(UTC).isoformat()
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO put_aside VALUES (?, ?, ?)", (now, msgspec.json.encode(row).decode(), why))
            self._db.execute("DELETE FROM volumes WHERE id = ?", (row[0],))
            self._db.execute("COMMIT")
            self.repairs.append(f"row of volume {row[1]!r} cannot be read ({why}): put aside")

    def _remember(self, volume: Volume) -> None:
        if volume.phase is Phase.TRASHED:
            self._drop_from_memory(volume)
            self._trashed[volume.id] = volume
        else:
            self._trashed.pop(volume.id, None)
            self._live[volume.name] = volume

    def _drop_from_memory(self, volume: Volume) -> None:
        self._trashed.pop(volume.id, None)
        if volume.name in self._live and self._live[volume.name].id == volume.id:
            del self._live[volume.name]
