"""An unreadable record is not a missing record: pyvol overwrites and deletes nothing because of it."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from fakes import FakeLog
from house import House
from pyvol.catalog.usages import UsageStore
from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import Phase, Volume, VolumeSpec
from pyvol.host.files import directories
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.local.pool import LocalPool
from pyvol.storage.paths.allowed import AdoptablePaths

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
VOLUME = Volume("0123456789abcdef", "v", VolumeSpec(), NOW, Phase.READY)
TRASHED = msgspec.structs.replace(VOLUME, phase=Phase.TRASHED, removed=NOW, until=NOW)


@pytest.fixture
def pool(tmp_path: Path) -> LocalPool:
    """A pool in a directory of this host."""
    made = LocalPool("default", str(tmp_path / "pool"), "host-1", AdoptablePaths([], [], KernelMounts()))
    made.prepare()
    return made


def test_a_removal_whose_record_cannot_be_read_keeps_it(tmp_path: Path, pool: LocalPool) -> None:
    """Which host removed the volume is in the record: a new record would name another host."""
    pool.provision(VOLUME)
    pool.to_trash(TRASHED)
    record = tmp_path / "pool/trash" / VOLUME.id / "removed.json"
    record.unlink()
    record.symlink_to("elsewhere")
    with pytest.raises(StorageFailed, match="volume 'v'"):
        pool.write_manifest(TRASHED)
    assert record.is_symlink()


def test_an_undelete_whose_records_cannot_be_read_is_refused(tmp_path: Path, pool: LocalPool) -> None:
    """The records could not be put back if the undelete failed later."""
    pool.provision(VOLUME)
    pool.to_trash(TRASHED)
    manifest = tmp_path / "pool/trash" / VOLUME.id / "volume.json"
    manifest.unlink()
    manifest.symlink_to("elsewhere")
    with pytest.raises(StorageFailed, match="volume 'v'"):
        pool.from_trash(VOLUME)
    assert pool.listing().trashed == {VOLUME.id}


@pytest.mark.parametrize("kind", ["symlink", "file"])
def test_what_is_no_directory_is_not_removed(house: House, scratch: Path, kind: str) -> None:
    """If a symlink has replaced the directory, a removal that does nothing must not succeed."""
    house.volumes.create("v", None)
    place = house.root / "pool/volumes/v"
    place.rename(scratch / "elsewhere")
    if kind == "symlink":
        place.symlink_to(scratch / "elsewhere")
    else:
        place.write_text("")
    with pytest.raises(StorageFailed, match=r"volume 'v' cannot be looked up: .*/volumes/v: "):
        house.volumes.remove("v")
    assert house.names() == ["v"]
    place.unlink()
    (scratch / "elsewhere").rename(place)
    house.volumes.remove("v")
    house.trash.undelete("v")


def test_a_taken_directory_that_cannot_be_looked_at_stays(house: House) -> None:
    """It is published under its own name by a later start; this start has all other volumes."""
    house.volumes.create("v", None)
    taken = house.root / "pool/staging/taken-1"
    (taken / "_data").mkdir(parents=True)
    (taken / "volume.json").mkdir()
    (house.root / "pool/staging/new-1").mkdir()
    again = house.reopened()
    assert "unfinished volumes stay" in again.log.events
    assert again.names() == ["v"]
    assert sorted(entry.name for entry in (house.root / "pool/staging").iterdir()) == ["gone-1", "taken-1"]
    again.close()


def test_counts_that_cannot_be_opened_are_not_deleted(tmp_path: Path) -> None:
    """A disk that fails for a moment costs one start, and not all counts."""
    (tmp_path / "usage.json").symlink_to("usage.json")
    log = FakeLog()
    store = UsageStore(tmp_path, log)
    assert store.load() == {}
    store.save({})
    assert log.events == ["counts cannot be read, and are counted again"]
    assert (tmp_path / "usage.json").is_symlink()


def test_a_path_that_the_file_system_does_not_tell_of_is_an_error(tmp_path: Path) -> None:
    """Only what is missing is missing: another error could hide a pool."""
    assert directories.is_directory(str(tmp_path))
    assert not directories.is_directory(str(tmp_path / "missing"))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        directories.is_directory(str(tmp_path / "loop"))
