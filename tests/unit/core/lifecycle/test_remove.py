"""What a removal keeps, what it deletes, and what refuses it."""

from pathlib import Path

import pytest

from fakes import FakePool
from house import House
from pyvol.core.errors import (
    CatalogFailed,
    NoSuchVolume,
    StorageFailed,
    VolumeInUse,
    VolumeProtected,
)

ANONYMOUS = "ab" * 32


def test_remove_moves_to_the_trash(house: House) -> None:
    """A removal is one rename (fact 14), and can be undone until it expires (promise 3)."""
    house.volumes.create("v", None)
    (house.data("v") / "file").write_text("kept")
    inode = house.data("v").stat().st_ino
    house.volumes.remove("v")
    assert house.volumes.all() == []
    (entry,) = house.trash.all()
    trashed = house.root / "pool/trash" / entry.id / "_data"
    assert trashed.stat().st_ino == inode
    assert (trashed / "file").read_text() == "kept"
    with pytest.raises(NoSuchVolume, match="volume 'v' does not exist"):
        house.volumes.get("v")


def test_remove_of_a_volume_that_is_not_there_is_a_success(house: House) -> None:
    """An engine's retry of a Remove whose reply was lost succeeds."""
    house.volumes.remove("v")


def test_anonymous_volumes_are_deleted_for_good(house: House) -> None:
    """64 hex digits without options: nobody will look for them in the trash."""
    house.volumes.create(ANONYMOUS, None)
    house.volumes.remove(ANONYMOUS)
    assert house.trash.all() == []
    assert house.woken == 1
    house.reap()
    assert list((house.root / "pool/staging").iterdir()) == []


def test_a_name_like_an_anonymous_one_with_options_goes_to_the_trash(house: House) -> None:
    """Somebody meant it who gave it options."""
    house.volumes.create(ANONYMOUS, {"mode": "0700"})
    house.volumes.remove(ANONYMOUS)
    assert [volume.name for volume in house.trash.all()] == [ANONYMOUS]


def test_on_remove_delete_is_for_good(house: House) -> None:
    """on_remove=delete leaves nothing in the trash."""
    house.volumes.create("v", {"on_remove": "delete"})
    house.volumes.remove("v")
    assert house.trash.all() == []


def test_on_remove_keep_has_no_limit(house: House) -> None:
    """on_remove=keep stays in the trash until somebody empties it by name."""
    house.volumes.create("v", {"on_remove": "keep"})
    house.volumes.remove("v")
    house.clock.forward(days=5000)
    house.expire()
    assert [volume.until for volume in house.trash.all()] == [None]


def test_protect_refuses_remove_until_it_is_lifted(house: House) -> None:
    """protect=true keeps a volume; the error says what lifts it, and that works."""
    house.volumes.create("v", {"protect": "true"})
    with pytest.raises(VolumeProtected, match="`pyvol set v protect=false` allows it"):
        house.volumes.remove("v")
    house.volumes.change("v", {"protect": "false"})
    house.volumes.remove("v")
    assert house.volumes.all() == []


def test_a_volume_in_use_is_not_removed(house: House) -> None:
    """Dockerd can lose its references, so Remove asks the kernel (fact 32)."""
    house.volumes.create("v", None)
    pid = house.kernel.run(str(house.data("v")))
    with pytest.raises(
        VolumeInUse, match=rf"volume 'v' cannot be removed: it is mounted by sleep \(pid {pid}\) at /data"
    ):
        house.volumes.remove("v")
    house.kernel.end(pid)
    house.volumes.remove("v")


def test_claims_never_prevent_a_remove(house: House) -> None:
    """Claims go stale, and then the volume could never be deleted (fact 32)."""
    house.volumes.create("v", None)
    house.volumes.mount("v", "id-of-a-container-that-is-gone")
    house.volumes.remove("v")
    assert house.volume_status.claims() == []


def test_a_volume_whose_directory_is_gone_can_be_removed(house: House) -> None:
    """Somebody deleted it by hand; the record goes, and nothing is put into the trash."""
    house.volumes.create("v", None)
    house.data("v").rmdir()
    (house.root / "pool/volumes/v/volume.json").unlink()
    (house.root / "pool/volumes/v").rmdir()
    house.volumes.remove("v")
    assert house.volumes.all() == []
    assert house.trash.all() == []


def test_a_volume_of_a_pool_that_is_not_there_stays(house: House) -> None:
    """With the pool's disk not mounted a Remove is an error, and the record stays (promise 1)."""
    house.volumes.create("v", None)
    (house.root / "pool/volumes").rename(house.root / "unmounted")
    with pytest.raises(StorageFailed, match="volume 'v' cannot be looked up"):
        house.volumes.remove("v")
    assert house.volumes.get("v").name == "v"


def test_remove_is_taken_back_when_the_catalog_cannot_record_it(house: House) -> None:
    """A Remove that answers with an error has removed nothing."""
    house.volumes.create("v", None)
    with house.catalog.full(), pytest.raises(CatalogFailed):
        house.volumes.remove("v")
    assert house.data("v").is_dir()
    house.volumes.mount("v", "id")


def test_what_cannot_be_taken_back_is_said(scratch: Path) -> None:
    """When the undoing fails too, the log says that the next start settles it, and it does."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    pool.failing["undo"] = "the disk is gone"
    with house.catalog.full(), pytest.raises(CatalogFailed):
        house.volumes.create("v", None)
    assert "half-done work is settled at the next start" in house.log.events
    pool.failing.clear()
    again = house.reopened()
    assert again.names() == ["v"]
    again.close()


def test_a_removal_that_can_be_undone_asks_the_claims_too(house: House) -> None:
    """`pyvol prune` keeps a volume with a current claim, and removes one that has only stale claims."""
    house.volumes.create("v", {"on_remove": "delete"})
    house.volumes.mount("v", "id")
    with pytest.raises(VolumeInUse, match="'v' cannot be removed: an engine has it mounted"):
        house.volumes.remove("v", undoable=True)
    assert house.volume_status.claim_count(house.volumes.get("v")) == 1
    house.volumes.activate()
    house.volumes.remove("v", undoable=True)
    house.trash.undelete("v")
    assert house.data("v").is_dir()
