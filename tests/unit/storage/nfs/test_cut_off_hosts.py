"""The start after a verb that was cut off before its commit: the disk decides, and the row follows."""

from house import House
from pyvol.core.model.volume import Phase


def test_an_unfinished_creation_is_deleted(house: House) -> None:
    """An unfinished volume was never acknowledged. No start waits for its deletion, which may take long."""
    (house.root / "pool/staging/new-1234/_data").mkdir(parents=True)
    again = house.reopened()
    assert [entry.name for entry in (house.root / "pool/staging").iterdir()] == ["gone-1234"]
    again.reap()
    assert list((house.root / "pool/staging").iterdir()) == []
    assert "unfinished volumes deleted" in again.log.events
    again.close()


def test_a_removal_cut_off_before_its_commit_is_finished(house: House) -> None:
    """The directory is in the trash already; the row follows."""
    house.volumes.create("v", None)
    volume = house.volumes.get("v")
    pool = house.pools["default"]
    (house.root / "pool/volumes/v").rename(house.root / "pool/trash" / volume.id)
    again = house.reopened()
    assert again.volumes.all() == []
    (entry,) = again.trash.all()
    assert (entry.name, entry.until) == ("v", None)
    assert pool.read_trashed(volume.id).phase is Phase.TRASHED
    again.close()


def test_a_removal_of_an_unreadable_volume_cut_off_before_its_commit_is_finished(house: House) -> None:
    """Its row says whose the directory in the trash is, and keeps it without a limit."""
    (house.root / "pool/volumes/bad/_data").mkdir(parents=True)
    (house.root / "pool/volumes/bad/volume.json").write_text("nonsense")
    again = house.reopened()
    (house.root / "pool/volumes/bad").rename(house.root / "pool/trash" / again.volumes.get("bad").id)
    again = again.reopened()
    assert again.volumes.all() == []
    assert [(entry.name, entry.until) for entry in again.trash.all()] == [("bad", None)]
    again.trash.undelete("bad")
    again.close()


def test_a_removal_for_good_cut_off_before_its_commit_is_finished(house: House) -> None:
    """The directory waits for its deletion already; the row goes."""
    house.volumes.create("v", None)
    volume = house.volumes.get("v")
    house.pools["default"].stage_deletion(volume)
    again = house.reopened()
    assert again.volumes.all() == []
    again.reap()
    assert list((house.root / "pool/staging").iterdir()) == []
    again.close()


def test_emptying_cut_off_before_its_commit_is_finished(house: House) -> None:
    """The same, from the trash."""
    house.volumes.create("v", None)
    house.volumes.remove("v")
    (entry,) = house.trash.all()
    house.pools["default"].stage_deletion(entry)
    again = house.reopened()
    assert again.trash.all() == []
    again.close()


def test_an_undelete_cut_off_before_its_commit_is_finished(house: House) -> None:
    """The directory has its name back; the row in the trash becomes the row of the volume."""
    house.volumes.create("v", {"mode": "0700"})
    house.volumes.remove("v")
    (entry,) = house.trash.all()
    (house.root / "pool/trash" / entry.id).rename(house.root / "pool/volumes/w")
    again = house.reopened()
    assert again.trash.all() == []
    assert again.volumes.get("w").id == entry.id
    assert again.manifest("w")["name"] == "w"
    again.close()
