"""The start: what a crash, a lost catalog or a moved pool left behind is settled, and said."""

import shutil
from pathlib import Path

import msgspec
import pytest

from fakes import FakePool
from house import House
from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.model.volume import Phase


def test_a_lost_catalog_is_rebuilt_from_the_manifests(house: House) -> None:
    """Volumes, options and trash come back without the database; claims are the kernel's to tell."""
    house.volumes.create("v", {"mode": "0700"})
    house.volumes.create("w", None)
    house.volumes.remove("w")
    before = (house.volumes.all(), house.trash.all())
    house.close()
    for file in house.state.iterdir():
        file.unlink()
    again = House(house.root)
    assert (again.volumes.all(), again.trash.all()) == before
    again.close()


@pytest.mark.parametrize("damage", ["overwritten", "torn"])
def test_a_corrupt_catalog_is_put_aside_and_rebuilt(house: House, damage: str) -> None:
    """A corrupt database is set aside, and the catalog is rebuilt from the manifests."""
    for number in range(50):
        house.volumes.create(f"v{number}", {"mode": "0700"})
    house.close()
    database = house.state / "pyvol.db"
    content = bytearray(database.read_bytes())
    if damage == "overwritten":
        database.write_bytes(b"this is no database" * 100)
    else:
        content[4096 : 4096 * 3] = b"\xff" * 8192
        database.write_bytes(content)
    again = House(house.root)
    assert len(again.volumes.all()) == 50
    assert "catalog was corrupt" in again.catalog.repairs[0]
    (aside,) = house.state.glob("pyvol.db.corrupt-*")
    catalog = next(finding for finding in again.doctor.examine() if finding.check == "catalog")
    assert aside.name in catalog.summary
    assert not catalog.well
    again.close()


def test_a_corrupt_manifest_affects_only_its_volume(house: House) -> None:
    """Its volume is listed but cannot be mounted; a repaired manifest works, pyvol overwrites none."""
    house.volumes.create("good", None)
    house.volumes.create("bad", {"mode": "0700"})
    path = house.root / "pool/volumes/bad/volume.json"
    intact = path.read_bytes()
    path.write_bytes(b'{"format": 1, "id"')
    house.close()
    for file in house.state.iterdir():
        file.unlink()

    again = House(house.root)
    assert again.volumes.get("bad").phase is Phase.UNREADABLE
    assert again.volume_status.health(again.volumes.get("bad")).startswith("its volume.json cannot be read")
    with pytest.raises(StorageFailed, match=r"volume 'bad' cannot be mounted: its volume\.json cannot be read"):
        again.volumes.mount("bad", "id")
    with pytest.raises(StorageFailed, match=r"volume 'bad' cannot be changed: its volume\.json cannot be read"):
        again.volumes.change("bad", {"uid": "1"})
    again.volumes.mount("good", "id")
    again = again.reopened()
    assert path.read_bytes() == b'{"format": 1, "id"'
    assert "manifest still cannot be read" in again.log.events

    path.write_bytes(intact)
    again = again.reopened()
    assert again.volumes.get("bad").spec.mode == 0o700
    again.volumes.mount("bad", "id")
    again.close()


def test_an_unreadable_volume_goes_to_the_trash_and_back_as_it_is(house: House) -> None:
    """A removal moves its data to the trash, and does not change its manifest."""
    (house.root / "pool/volumes/bad/_data").mkdir(parents=True)
    (house.root / "pool/volumes/bad/volume.json").write_text("nonsense")
    again = house.reopened()
    again.volumes.remove("bad")
    again.trash.undelete("bad", "still-bad")
    assert (house.root / "pool/volumes/still-bad/volume.json").read_text() == "nonsense"
    with pytest.raises(StorageFailed, match=r"volume 'still-bad' cannot be mounted: its volume\.json cannot be read"):
        again.volumes.mount("still-bad", "id")  # with what options, nobody knows
    again.close()


def test_a_volume_repaired_in_the_trash_comes_back_with_its_options(house: House) -> None:
    """Unreadable when it was removed, its row has none."""
    house.volumes.create("v", {"mode": "0700"})
    path = house.root / "pool/volumes/v/volume.json"
    content = path.read_bytes()
    path.write_text("nonsense")
    house.close()
    for file in house.state.iterdir():
        file.unlink()
    again = House(house.root)
    again.volumes.remove("v")
    (entry,) = again.trash.all()
    (house.root / "pool/trash" / entry.id / "volume.json").write_bytes(content)
    again.trash.undelete("v")
    assert again.volumes.get("v").spec.mode == 0o700
    again.volumes.mount("v", "id")
    again.close()


def test_a_manifest_of_a_newer_format_is_unreadable(house: House) -> None:
    """A manifest that a newer release wrote stays as it is."""
    house.volumes.create("v", None)
    path = house.root / "pool/volumes/v/volume.json"
    path.write_text('{"format": 2, "whatever": "else"}')
    pool = house.pools["default"]
    with pytest.raises(StorageFailed, match=r"it has format 2, this pyvol knows 1; upgrade pyvol"):
        pool.read_live("v")


def test_an_unreadable_volume_is_never_removed_for_good(house: House) -> None:
    """Whether it was anonymous, nobody can tell any more."""
    name = "ab" * 32
    (house.root / "pool/volumes" / name).mkdir()
    (house.root / "pool/volumes" / name / "volume.json").write_text("nonsense")
    again = house.reopened()
    again.volumes.remove(name)
    assert [volume.name for volume in again.trash.all()] == [name]
    again.close()


def test_a_copy_of_a_removed_volume_is_a_volume_of_its_own(house: House) -> None:
    """The original stays in the trash, and can be undeleted."""
    house.volumes.create("v", {"mode": "0700"})
    house.volumes.remove("v")
    (entry,) = house.trash.all()
    shutil.copytree(house.root / "pool/trash" / entry.id, house.root / "pool/volumes/w")
    again = house.reopened()
    assert [volume.id for volume in again.trash.all()] == [entry.id]
    assert again.volumes.get("w").id != entry.id
    again.volumes.remove("w")
    again.trash.undelete("v")
    again.close()


def test_a_manifest_that_cannot_be_written_affects_no_volume(scratch: Path) -> None:
    """Every directory of the pool gets its row, or the engine would forget them all (fact 1)."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("v", None)
    pool.live["copy"] = house.volumes.get("v")
    pool.live["other"] = msgspec.structs.replace(house.volumes.get("v"), id="f" * 16, name="other")
    pool.failing["write_manifest"] = "no space left"
    again = house.reopened()
    assert again.names() == ["copy", "other", "v"]
    assert "manifest not written" in again.log.events
    again.close()


def test_a_directory_without_a_row_is_taken_in(house: House) -> None:
    """A pool that was moved here, or a creation whose commit was cut off, becomes a volume."""
    house.volumes.create("v", {"mode": "0700"})
    shutil.copytree(house.root / "pool/volumes/v", house.root / "pool/volumes/copy")
    again = house.reopened()
    copy, original = again.volumes.get("copy"), again.volumes.get("v")
    assert copy.spec == original.spec
    assert copy.id != original.id
    assert again.manifest("copy")["name"] == "copy"
    again.close()


def test_a_missing_directory_is_said_and_the_volume_stays_known(house: House) -> None:
    """The record of a volume without a directory is kept: its disk may come back (promise 1)."""
    house.volumes.create("v", None)
    shutil.rmtree(house.root / "pool/volumes/v")
    again = house.reopened()
    assert again.volumes.get("v").name == "v"
    assert "directory is missing" in again.log.events
    again.close()


def test_a_pool_that_cannot_be_read_is_left_as_it_is_known(scratch: Path) -> None:
    """One broken pool does not keep the others from starting."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool, "fast": FakePool("fast")})
    house.volumes.create("v", None)
    house.volumes.create("w", {"pool": "fast"})
    pool.failing["listing"] = "the disk is gone"
    again = house.reopened()
    assert again.names() == ["v", "w"]
    assert again.log.events == ["pool not reconciled"]
    again.close()


def test_one_name_in_two_pools_belongs_to_the_first(scratch: Path) -> None:
    """The catalog has each name once; the other directory is left alone, and said."""
    one, two = FakePool(), FakePool("fast")
    house = House(scratch, pools={"default": one, "fast": two})
    house.volumes.create("v", None)
    two.live["v"] = house.volumes.get("v")
    two.live["no volume's name"] = house.volumes.get("v")
    again = house.reopened()
    assert again.names() == ["v"]
    assert again.log.events == ["directory left alone", "directory left alone"]
    again.close()


def test_one_id_in_two_pools_is_two_volumes(scratch: Path) -> None:
    """A volume copied from one pool's trash into another pool is live; the original stays there."""
    one, two = FakePool(), FakePool("fast")
    house = House(scratch, pools={"default": one, "fast": two})
    house.volumes.create("v", None)
    volume = house.volumes.get("v")
    house.volumes.remove("v")
    two.live["w"] = msgspec.structs.replace(volume, name="w")
    for _ in range(2):
        house = house.reopened()
        assert [(entry.name, entry.id) for entry in house.trash.all()] == [("v", volume.id)]
        assert [entry.name for entry in house.volumes.all()] == ["w"]
    house.close()


def test_a_copy_in_another_pools_trash_does_not_affect_the_volume(scratch: Path) -> None:
    """Each id belongs to one volume: if the trash has the id of a live volume, the live volume keeps it."""
    one, two = FakePool(), FakePool("fast")
    house = House(scratch, pools={"default": one, "fast": two})
    house.volumes.create("v", None)
    volume = house.volumes.get("v")
    two.trashed[volume.id] = msgspec.structs.replace(volume, phase=Phase.TRASHED)
    again = house.reopened()
    assert again.volumes.all() == [volume]
    assert again.trash.all() == []
    again.close()


def test_trash_that_cannot_be_read_is_named_and_left(house: House) -> None:
    """An unreadable manifest in the trash does not affect other volumes."""
    (house.root / "pool/trash/0123456789abcdef").mkdir()
    again = house.reopened()
    assert "descriptor in the trash cannot be read" in again.log.events
    assert (house.root / "pool/trash/0123456789abcdef").is_dir()
    again.close()


def test_create_on_a_directory_that_nobody_knows_is_refused(house: House) -> None:
    """Somebody's data is never taken over, and never taken back either."""
    (house.root / "pool/volumes/v/_data").mkdir(parents=True)
    (house.root / "pool/volumes/v/_data/file").write_text("somebody's")
    with pytest.raises(
        StorageFailed,
        match=r"volume 'v' cannot be created: .* exists and is not in the catalog; add it with `pyvol adopt`",
    ):
        house.volumes.create("v", None)
    assert (house.root / "pool/volumes/v/_data/file").read_text() == "somebody's"
    assert list((house.root / "pool/staging").iterdir()) == []


def test_a_spec_that_contradicts_itself_is_refused(house: House, tmp_path: Path) -> None:
    """path= keeps its content, on_remove=delete would not."""
    with pytest.raises(BadOption, match="path= and on_remove=delete contradict"):
        house.volumes.create("v", {"path": str(tmp_path), "on_remove": "delete"})
