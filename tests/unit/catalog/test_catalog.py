"""The catalog: durable first, then remembered; and what it does about what it can't read."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from house import House
from pyvol.catalog import SqliteCatalog
from pyvol.core.errors import CatalogFailed
from pyvol.core.model.volume import Claim, Phase, Volume, VolumeSpec

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
VOLUME = Volume("0123456789abcdef", "v", VolumeSpec(mode=0o700), NOW, Phase.READY)


def test_memory_and_disk_are_the_same(house: House) -> None:
    """After any life a new one reads what the old one knew."""
    for name in ("a", "b", "c"):
        house.volumes.create(name, {"mode": "0700"} if name == "a" else None)
        house.volumes.mount(name, "id")
    house.volumes.remove("b")
    known = (house.catalog.live(), house.catalog.trashed(), house.catalog.claims(), house.catalog.generation)
    again = house.reopened()
    assert (again.catalog.live(), again.catalog.trashed(), again.catalog.claims(), again.catalog.generation) == known
    again.close()


def test_it_is_durable_and_strict(scratch: Path) -> None:
    """A commit is on disk when it returns, with WAL or without, and no column takes another type."""
    catalog = SqliteCatalog(scratch, "boot")
    assert catalog._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert catalog._db.execute("PRAGMA synchronous").fetchone() == (3,)  # EXTRA
    tables = catalog._db.execute("SELECT sql FROM sqlite_master WHERE type = 'table'").fetchall()
    assert len(tables) == 4
    assert all("STRICT" in sql for (sql,) in tables)
    catalog.close()


def test_a_row_that_cannot_be_read_is_put_aside(scratch: Path) -> None:
    """Other rows are not affected; the bad row is set aside and reported (promise 2)."""
    catalog = SqliteCatalog(scratch, "boot")
    catalog.save(VOLUME, msgspec.structs.replace(VOLUME, id="f" * 16, name="w"))
    catalog.close()
    with sqlite3.connect(scratch / "pyvol.db") as db:
        db.execute("UPDATE volumes SET created = '2026-01-31T12:00:00' WHERE name = 'w'")
    db.close()
    again = SqliteCatalog(scratch, "boot")
    assert list(again.live()) == [VOLUME]
    assert again.repairs == ["row of volume 'w' cannot be read (time '2026-01-31T12:00:00' has no zone): set aside"]
    assert "has no zone" in again.put_aside()[0]
    again.close()


def test_a_write_that_fails_changes_nothing(scratch: Path) -> None:
    """Neither the database nor the memory changes; the error says what to do."""
    catalog = SqliteCatalog(scratch, "boot")
    catalog._db.execute("PRAGMA query_only = ON")
    with pytest.raises(CatalogFailed, match=r"volume 'v' is unchanged: the catalog .* cannot be written: "):
        catalog.save(VOLUME)
    catalog.next_generation()
    with pytest.raises(CatalogFailed, match=r"^the catalog"):
        catalog.save_generation()
    assert catalog.find("v") is None
    catalog._db.execute("PRAGMA query_only = OFF")
    catalog.save(VOLUME)
    assert catalog.find("v") == VOLUME
    catalog.close()


def test_two_volumes_of_one_name_are_refused_by_the_database(scratch: Path) -> None:
    """Whatever goes wrong above, a name is held once."""
    catalog = SqliteCatalog(scratch, "boot")
    catalog.save(VOLUME)
    with pytest.raises(CatalogFailed, match="UNIQUE"):
        catalog.save(msgspec.structs.replace(VOLUME, id="f" * 16))
    assert catalog.find("v") == VOLUME
    catalog.close()


def test_saving_nothing_makes_no_commit(scratch: Path) -> None:
    """An empty list of volumes costs nothing."""
    catalog = SqliteCatalog(scratch, "boot")
    before = catalog._db.total_changes
    catalog.save()
    assert catalog._db.total_changes == before
    catalog.close()


def test_forgetting_an_old_id_leaves_the_new_holder_of_its_name(scratch: Path) -> None:
    """The trash may hold an older volume of the same name; its end is not the new one's."""
    catalog = SqliteCatalog(scratch, "boot")
    old = msgspec.structs.replace(VOLUME, id="f" * 16, phase=Phase.TRASHED, removed=NOW)
    catalog.save(old)
    catalog.save(VOLUME)
    catalog.forget(old)
    assert catalog.find("v") == VOLUME
    assert catalog.trashed() == []
    catalog.close()


def test_a_claim_that_cannot_be_read_is_put_aside(scratch: Path) -> None:
    """A bad row does not prevent a start."""
    catalog = SqliteCatalog(scratch, "boot")
    catalog.save(VOLUME)
    for mount_id in ("good", "bad"):
        catalog.save_claim(Claim("v", mount_id, 1, 1, NOW))
    catalog.close()
    with sqlite3.connect(scratch / "pyvol.db") as db:
        db.execute("UPDATE claims SET since = 'soon' WHERE mount_id = 'bad'")
    db.close()
    again = SqliteCatalog(scratch, "boot")
    assert [claim.mount_id for claim in again.claims()] == ["good"]
    assert again.repairs[0].startswith("claim of volume 'v' cannot be read")
    again.close()


def test_a_generation_is_durable_with_the_next_write(scratch: Path) -> None:
    """Opening one never waits for a disk (fact 33); whatever is written next takes it along."""
    catalog = SqliteCatalog(scratch, "boot")
    generation = catalog.next_generation()
    catalog.save(VOLUME)
    with sqlite3.connect(scratch / "pyvol.db") as db:
        assert db.execute("SELECT generation FROM engine").fetchone() == (generation,)
    db.close()
    catalog.close()


def test_an_older_volume_of_the_name_takes_no_claims_with_it(scratch: Path) -> None:
    """Claims belong to the volume that has the name now."""
    catalog = SqliteCatalog(scratch, "boot")
    old = msgspec.structs.replace(VOLUME, id="f" * 16, phase=Phase.TRASHED, removed=NOW)
    catalog.save(VOLUME)
    catalog.save_claim(Claim("v", "id", 1, 1, NOW))
    catalog.save(old)
    catalog.forget(old)
    assert len(catalog.claims("v")) == 1
    catalog.close()


def test_a_closed_catalog_fails_like_any_other(scratch: Path) -> None:
    """A request that still runs at the stop gets one of pyvol's errors, so that it rolls its changes back."""
    catalog = SqliteCatalog(scratch, "boot")
    catalog.close()
    for write in (lambda: catalog.save(VOLUME), catalog.put_aside):
        with pytest.raises(CatalogFailed, match="pyvol is stopping; try again when it runs"):
            write()
    assert catalog.problem is None


def test_a_directory_in_its_place_is_an_error(scratch: Path) -> None:
    """A directory at the catalog's path is reported and stays where it is."""
    (scratch / "pyvol.db").mkdir()
    with pytest.raises(CatalogFailed, match=r"pyvol.db cannot be used: .*; fix the disk, then start pyvol again"):
        SqliteCatalog(scratch, "boot")


def test_a_failed_write_is_remembered_until_one_succeeds(house: House) -> None:
    """Monitoring reports that the catalog cannot be written until a write succeeds."""
    house.volumes.create("a", None)
    house.catalog._db.execute("PRAGMA query_only = ON")
    with pytest.raises(CatalogFailed):
        house.volumes.create("b", None)
    assert house.catalog.problem is not None
    assert "make room or fix the disk" in house.catalog.problem
    house.catalog._db.execute("PRAGMA query_only = OFF")
    house.volumes.create("b", None)
    assert house.catalog.problem is None
