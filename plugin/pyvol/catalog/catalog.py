"""The catalog: every write is first a durable commit, then a change in memory; every read is from memory.

One daemon holds the lock of the state directory, so no other process writes, and memory and database are
equal.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pyvol.catalog import rows, schema
from pyvol.catalog.loading import load
from pyvol.core.errors import CatalogFailed
from pyvol.core.model.volume import Claim, Phase, Volume
from pyvol.host.files.durable import sync_directory

FILE_NAME = "pyvol.db"
ASIDE = f"{FILE_NAME}.corrupt-"
"""The start of the name of a file that was set aside; the time follows."""


SAVE_VOLUME = """
    INSERT INTO volumes (id, name, spec, created, phase, removed, until, former, labels)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, spec = excluded.spec, created = excluded.created,
        phase = excluded.phase, removed = excluded.removed, until = excluded.until, former = excluded.former,
        labels = excluded.labels
"""
SAVE_CLAIM = """
    INSERT INTO claims (volume, mount_id, generation, count, since) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (volume, mount_id) DO UPDATE SET generation = excluded.generation, count = excluded.count,
        since = excluded.since
"""


class SqliteCatalog:
    """The catalog in `<state dir>/pyvol.db`. Implements `pyvol.core.ports.host.Catalog`.

    Args:
        state_dir: an existing directory, locked by this process.
        boot_id: the kernel's; claims of another boot are dropped, for no container outlives a reboot.
    """

    def __init__(self, state_dir: Path, boot_id: str) -> None:
        self.repairs: list[str] = []
        self.problem: str | None = None
        self._path = state_dir / FILE_NAME
        self._db = self._open()
        self._lock = threading.Lock()
        self._live: dict[str, Volume] = {}
        self._names: dict[str, str] = {}
        self._changes = 0
        self._former: dict[str, str] = {}
        self._trashed: dict[str, Volume] = {}
        self._claims: dict[str, dict[str, Claim]] = {}
        self._generation = self._saved_generation = 0
        self._generation_lock = threading.Lock()
        self._is_closed = False
        try:
            self._load(boot_id)
        except sqlite3.Error as error:
            raise CatalogFailed(
                f"the catalog {self._path} cannot be used", str(error), "fix the disk, then start pyvol again"
            ) from error

    def find(self, name: str) -> Volume | None:
        """See `pyvol.core.ports.host.Catalog`."""
        return self._live.get(name)

    def find_id(self, volume_id: str) -> Volume | None:
        """See `pyvol.core.ports.host.Catalog`."""
        return self._live.get(self._names.get(volume_id, ""))

    def live(self) -> Collection[Volume]:
        """See `pyvol.core.ports.host.Catalog`."""
        return list(self._live.values())

    @property
    def changes(self) -> int:
        """See `pyvol.core.ports.host.Catalog`."""
        return self._changes

    def trashed(self) -> Collection[Volume]:
        """See `pyvol.core.ports.host.Catalog`."""
        return list(self._trashed.values())

    def find_trashed(self, volume_id: str) -> Volume | None:
        """See `pyvol.core.ports.host.Catalog`."""
        return self._trashed.get(volume_id)

    def save(self, *volumes: Volume) -> None:
        """See `pyvol.core.ports.host.Catalog`."""
        if not volumes:
            return
        with self._writing(volumes[0].name) as db:
            db.executemany(SAVE_VOLUME, map(rows.from_volume, volumes))
            leaving = [volume.name for volume in volumes if volume.phase is Phase.TRASHED and self._holds_name(volume)]
            self._drop_claims(db, leaving)
            db.execute("COMMIT")
            for name in leaving:
                self._claims.pop(name, None)
            for volume in volumes:
                self._remember(volume)
            self._changes += 1

    def rename(self, volume: Volume, renamed: Volume) -> None:
        """See `pyvol.core.ports.host.Catalog`."""
        with self._writing(volume.name) as db:
            db.execute(SAVE_VOLUME, rows.from_volume(renamed))
            self._drop_claims(db, [volume.name])
            db.execute("COMMIT")
            self._claims.pop(volume.name, None)
            self._remember(renamed)  # first, so that a Get of the old name finds the one or the other (engine fact 1)
            self._drop_name(volume)
            self._changes += 1

    def find_former(self, name: str) -> Volume | None:
        """See `pyvol.core.ports.host.Catalog`."""
        return self._live.get(self._former.get(name, ""))

    def forget(self, *volumes: Volume) -> None:
        """See `pyvol.core.ports.host.Catalog`."""
        with self._writing(volumes[0].name) as db:
            db.executemany("DELETE FROM volumes WHERE id = ?", [(volume.id,) for volume in volumes])
            leaving = [volume.name for volume in volumes if self._holds_name(volume)]
            self._drop_claims(db, leaving)
            db.execute("COMMIT")
            for name in leaving:
                self._claims.pop(name, None)
            for volume in volumes:
                self._drop_from_memory(volume)
            self._changes += 1

    def claim(self, volume: str, mount_id: str) -> Claim | None:
        """See `pyvol.core.ports.host.Catalog`."""
        return self._claims.get(volume, {}).get(mount_id)

    def claims(self, volume: str | None = None) -> Sequence[Claim]:
        """See `pyvol.core.ports.host.Catalog`."""
        if volume is not None:
            return list(self._claims.get(volume, {}).values())
        return [claim for held in list(self._claims.values()) for claim in list(held.values())]

    def save_claim(self, claim: Claim) -> None:
        """See `pyvol.core.ports.host.Catalog`."""
        with self._writing(claim.volume) as db:
            db.execute(SAVE_CLAIM, rows.from_claim(claim))
            db.execute("COMMIT")
            self._claims.setdefault(claim.volume, {})[claim.mount_id] = claim

    def drop_claim(self, claim: Claim) -> None:
        """See `pyvol.core.ports.host.Catalog`."""
        with self._writing(claim.volume) as db:
            db.execute("DELETE FROM claims WHERE volume = ? AND mount_id = ?", (claim.volume, claim.mount_id))
            db.execute("COMMIT")
            held = self._claims.get(claim.volume, {})
            held.pop(claim.mount_id, None)
            if not held:
                self._claims.pop(claim.volume, None)

    @property
    def generation(self) -> int:
        """See `pyvol.core.ports.host.Catalog`."""
        return self._generation

    def next_generation(self) -> int:
        """See `pyvol.core.ports.host.Catalog`."""
        with self._generation_lock:
            self._generation += 1
            return self._generation

    def save_generation(self) -> None:
        """See `pyvol.core.ports.host.Catalog`."""
        if self._saved_generation != self._generation:
            with self._writing(None) as db:
                db.execute("COMMIT")

    def put_aside(self) -> list[str]:
        """Return the files and rows that could not be read, for the doctor."""
        files = [
            f"{file.name} (the whole catalog, rebuilt since from the manifests)"
            for file in sorted(self._path.parent.glob(f"{ASIDE}*"))
            if not file.name.endswith(("-wal", "-shm"))
        ]
        with self._lock:
            self._refuse_closed(None)
            rows_aside = self._db.execute("SELECT row, why FROM put_aside").fetchall()
        return [*files, *(f"{row}: {why}" for row, why in rows_aside)]

    def close(self) -> None:
        """Close the database, which folds its write-ahead log in. A later write raises `CatalogFailed`."""
        with suppress(CatalogFailed):  # a generation that is lost leaves claims that look younger than they are
            self.save_generation()
        with self._lock:
            self._is_closed = True
            self._db.close()

    @contextmanager
    def _writing(self, name: str | None) -> Iterator[sqlite3.Connection]:
        """Hold the one writer's transaction; the body commits, so that memory changes under the same lock."""
        with self._lock:
            self._refuse_closed(name)
            generation = self._generation
            try:
                self._db.execute("BEGIN IMMEDIATE")
                if generation != self._saved_generation:
                    self._db.execute("UPDATE engine SET generation = ?", (generation,))
                yield self._db
                self._saved_generation = generation
                self.problem = None
            except sqlite3.Error as error:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                what = f"the catalog {self._path} cannot be written"
                failed = CatalogFailed(what, str(error), "make room or fix the disk, then try again")
                self.problem = str(failed)
                if name is not None:
                    failed.blame("is unchanged", volume=name)
                raise failed from error

    def _refuse_closed(self, name: str | None) -> None:
        """Raise `CatalogFailed` after `close`: a slow thread may still run when the daemon stops."""
        if self._is_closed:
            raise CatalogFailed(
                "is unchanged" if name else "the catalog is closed",
                "pyvol is stopping",
                "try again when it runs",
                volume=name or "",
            )

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
            raise CatalogFailed(
                f"the catalog {self._path} cannot be used", str(error), "fix the disk, then start pyvol again"
            ) from error

    def _put_file_aside(self, error: sqlite3.Error) -> None:
        aside = f"{ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(FILE_NAME + suffix)
            with suppress(FileNotFoundError):
                part.rename(part.with_name(aside + suffix))
        sync_directory(self._path.parent)
        self.repairs.append(f"catalog was corrupt ({error}): set aside as {aside}, and rebuilt from the manifests")

    def _load(self, boot_id: str) -> None:
        loaded = load(self._db, boot_id)
        self.repairs += loaded.repairs
        self._generation = self._saved_generation = loaded.generation
        for volume in loaded.volumes:
            self._remember(volume)
        for claim in loaded.claims:
            self._claims.setdefault(claim.volume, {})[claim.mount_id] = claim

    def _holds_name(self, volume: Volume) -> bool:
        holder = self._live.get(volume.name)
        return holder is not None and holder.id == volume.id

    def _drop_claims(self, db: sqlite3.Connection, names: Sequence[str]) -> None:
        held = [(name,) for name in names if name in self._claims]
        if held:
            db.executemany("DELETE FROM claims WHERE volume = ?", held)

    def _remember(self, volume: Volume) -> None:
        if volume.phase is Phase.TRASHED:
            self._drop_from_memory(volume)
            self._trashed[volume.id] = volume
        else:
            self._trashed.pop(volume.id, None)
            self._live[volume.name] = volume
            self._names[volume.id] = volume.name
            self._former.update(dict.fromkeys(volume.former, volume.name))

    def _drop_from_memory(self, volume: Volume) -> None:
        self._trashed.pop(volume.id, None)
        if self._holds_name(volume):
            self._names.pop(volume.id, None)
            self._drop_name(volume)

    def _drop_name(self, volume: Volume) -> None:
        del self._live[volume.name]
        for name in volume.former:
            if self._former.get(name) == volume.name:
                del self._former[name]
