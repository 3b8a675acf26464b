"""Read the whole database at the start.

A row that cannot be read is set aside; the other rows are not affected.
"""

import sqlite3
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from pyvol.catalog import rows
from pyvol.core.model.volume import Claim, Volume

LOAD_VOLUMES = "SELECT id, name, spec, created, phase, removed, until, former, labels FROM volumes"
LOAD_CLAIMS = "SELECT volume, mount_id, generation, count, since FROM claims"


class Loaded(NamedTuple):
    """The content of a database, and the repairs that were needed to read it."""

    volumes: list[Volume]
    claims: list[Claim]
    generation: int
    repairs: list[str]


def load(db: sqlite3.Connection, boot_id: str) -> Loaded:
    """Read the database; claims of a boot that is not `boot_id` are dropped from it. Raises sqlite3.Error."""
    repairs: list[str] = []
    volumes = _volumes(db, repairs)
    boot, generation = db.execute("SELECT boot_id, generation FROM engine").fetchone()
    if boot != boot_id:
        generation += 1
        db.execute("BEGIN IMMEDIATE")
        dropped = db.execute("DELETE FROM claims").rowcount
        db.execute("UPDATE engine SET boot_id = ?, generation = ?", (boot_id, generation))
        db.execute("COMMIT")
        if dropped:
            repairs.append(f"{dropped} claims of an earlier boot dropped")
    return Loaded(volumes, _claims(db, repairs), generation, repairs)


def _volumes(db: sqlite3.Connection, repairs: list[str]) -> list[Volume]:
    volumes, bad = [], []
    reader = rows.VolumeReader()
    for row in db.execute(LOAD_VOLUMES):
        try:
            volumes.append(reader.read(row))
        except (ValueError, msgspec.MsgspecError) as error:
            bad.append((row, str(error)))
    for row, why in bad:
        repairs.append(f"row of volume {row[1]!r} cannot be read ({why}): set aside")
        _put_aside(db, row, why, "DELETE FROM volumes WHERE id = ?", row[:1])
    return volumes


def _claims(db: sqlite3.Connection, repairs: list[str]) -> list[Claim]:
    claims, bad = [], []
    for row in db.execute(LOAD_CLAIMS):
        try:
            claims.append(rows.to_claim(row))
        except ValueError as error:
            bad.append((row, str(error)))
    for row, why in bad:
        repairs.append(f"claim of volume {row[0]!r} cannot be read ({why}): set aside")
        _put_aside(db, row, why, "DELETE FROM claims WHERE volume = ? AND mount_id = ?", row[:2])
    return claims


def _put_aside(db: sqlite3.Connection, row: tuple[Any, ...], why: str, delete: str, key: tuple[Any, ...]) -> None:
    db.execute("BEGIN IMMEDIATE")
    aside = (datetime.now(UTC).isoformat(), msgspec.json.encode(row).decode(), why)
    db.execute("INSERT INTO put_aside VALUES (?, ?, ?)", aside)
    db.execute(delete, key)
    db.execute("COMMIT")
