"""Renaming a volume: what stays, what is refused, and which error the old name gives."""

from pathlib import Path

import pytest

from fakes import FakePool
from house import House
from pyvol.core.errors import BadName, BadRequest, CatalogFailed, NoSuchVolume, StorageFailed, VolumeExists, VolumeInUse
from pyvol.core.ports.pool import REMOTE


def rename(house: House, name: str, new_name: str) -> None:
    """Rename a volume."""
    house.renaming.rename(house.volumes.get(name), new_name)


def test_a_renamed_volume_is_the_same_volume(house: House) -> None:
    """Id, options, age and data stay; the manifest has the new name; a restart changes nothing."""
    house.volumes.create("a", {"mode": "0700"})
    before = house.volumes.get("a")
    (house.data("a") / "file").write_text("kept")
    house.clock.forward(days=1)
    rename(house, "a", "b")
    again = house.reopened()
    after = again.volumes.get("b")
    assert (after.id, after.spec, after.created, after.former) == (before.id, before.spec, before.created, ("a",))
    assert (again.data("b") / "file").read_text() == "kept"
    assert again.manifest("b")["name"] == "b"
    assert again.names() == ["b"]
    again.close()


def test_an_error_for_the_old_name_gives_the_new_name(house: House) -> None:
    """The error gives the new name, also to a Create, which would make an empty volume."""
    house.volumes.create("a", None)
    rename(house, "a", "b")
    rename(house, "b", "c")
    for old in ("a", "b"):
        with pytest.raises(NoSuchVolume, match="was renamed: its name is 'c' now"):
            house.volumes.mount(old, "i")
        with pytest.raises(VolumeExists, match=f"`pyvol rename c {old}`"):
            house.volumes.create(old, None)
    rename(house, "c", "a")
    assert house.volumes.get("a").former == ("b", "c")
    house.volumes.remove("a")
    house.volumes.create("b", None)


def test_a_problem_stays_with_the_renamed_volume(scratch: Path) -> None:
    """A problem is reported for the volume's new name, not for another volume that gets the old name."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("a", None)
    pool.failing["attach"] = "volume 'a': stale"
    with pytest.raises(StorageFailed):
        house.volumes.mount("a", "i")
    rename(house, "a", "b")
    assert house.volume_status.health(house.volumes.get("b")) == "volume 'a': stale"
    rename(house, "b", "c")
    house.volumes.remove("c")
    house.volumes.create("a", None)
    assert house.volume_status.health(house.volumes.get("a")) == "ok"
    house.close()


def test_a_removed_volume_comes_back_under_its_new_name(house: House) -> None:
    """The volume remembers its old name, also after a restart."""
    house.volumes.create("a", None)
    rename(house, "a", "b")
    house.volumes.remove("b")
    again = house.reopened()
    again.trash.undelete("b")
    with pytest.raises(NoSuchVolume, match="is 'b' now"):
        again.volumes.get("a")
    again.close()


def test_a_rebuilt_catalog_knows_the_old_names(house: House) -> None:
    """The manifest has them."""
    house.volumes.create("a", None)
    rename(house, "a", "b")
    house.close()
    for part in house.state.glob("pyvol.db*"):
        part.unlink()
    again = House(house.root)
    assert again.volumes.get("b").former == ("a",)
    again.close()


def test_a_volume_in_use_keeps_its_name(house: House) -> None:
    """While an engine has it claimed, and while a process has it mounted; a stale claim is dropped."""
    house.volumes.create("a", None)
    house.volumes.mount("a", "i")
    with pytest.raises(VolumeInUse, match="cannot be renamed: it is in use"):
        rename(house, "a", "b")
    house.volumes.activate()
    pid = house.kernel.run(str(house.data("a")))
    with pytest.raises(VolumeInUse):
        rename(house, "a", "b")
    house.kernel.end(pid)
    rename(house, "a", "b")
    assert house.volume_status.claims() == []
    house.volumes.unmount("a", "i")


def test_names_that_cannot_be_had(house: House) -> None:
    """A taken name, an invalid name, and the name of an unknown directory are refused."""
    for name in ("a", "taken"):
        house.volumes.create(name, None)
    with pytest.raises(VolumeExists):
        rename(house, "a", "taken")
    with pytest.raises(BadName):
        rename(house, "a", "../x")
    stray = house.root / "pool/volumes/stray"
    (stray / "full").mkdir(parents=True)
    with pytest.raises(StorageFailed):
        rename(house, "a", "stray")
    rename(house, "a", "a")
    assert house.names() == ["a", "taken"]


def test_a_renaming_that_the_catalog_cannot_follow_is_taken_back(house: House) -> None:
    """An error has changed nothing."""
    house.volumes.create("a", None)
    house.catalog._db.execute("PRAGMA query_only = ON")
    with pytest.raises(CatalogFailed):
        rename(house, "a", "b")
    house.catalog._db.execute("PRAGMA query_only = OFF")
    assert house.data("a").is_dir()
    assert house.manifest("a")["name"] == "a"
    assert not (house.root / "pool/volumes/b").exists()


def test_a_renaming_that_was_cut_off_is_finished_on_a_full_disk(scratch: Path) -> None:
    """The catalog gets the name of the directory; the manifest is written once that succeeds."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("a", None)
    before = house.volumes.get("a").id
    pool.live["b"] = pool.live.pop("a")
    pool.failing["write_manifest"] = "no space left"
    again = house.reopened()
    assert [(volume.name, volume.id) for volume in again.volumes.all()] == [("b", before)]
    assert again.volume_status.find("a")[0].id == before
    again.close()


def test_a_directory_that_was_moved_by_hand_is_followed(scratch: Path) -> None:
    """A move in the pool while pyvol is away is a renaming too."""
    house = House(scratch)
    house.volumes.create("a", None)
    before = house.volumes.get("a").id
    house.close()
    (scratch / "pool/volumes/a").rename(scratch / "pool/volumes/b")
    again = House(scratch)
    assert [(volume.name, volume.id) for volume in again.volumes.all()] == [("b", before)]
    again.close()


def test_a_volume_that_changed_before_its_rename_keeps_its_name(house: House) -> None:
    """A volume that changed before the rename got its lock is not renamed."""
    house.volumes.create("a", None)
    seen = house.volumes.get("a")
    house.volumes.change("a", {"mode": "0700"})
    with pytest.raises(StorageFailed, match="another request has changed it; look at it, then try again"):
        house.renaming.rename(seen, "b")


def test_a_volume_of_a_share_keeps_its_name(scratch: Path) -> None:
    """Other hosts know it by that."""
    pool = FakePool()
    pool.traits = REMOTE
    house = House(scratch, pools={"default": pool})
    house.volumes.create("a", None)
    with pytest.raises(BadRequest, match="its pool is shared with other hosts or missing"):
        rename(house, "a", "b")
    house.close()


def test_a_get_of_the_old_name_shows_the_volume_and_its_new_name(house: House) -> None:
    """A Get of the old name is answered: after an error, an engine would forget its own record."""
    house.volumes.create("a", None)
    rename(house, "a", "b")
    shown, status = house.volume_status.find("a")
    assert shown.name == "b"
    assert "'b' now" in status["renamed"]
    assert "renamed" not in house.volume_status.find("b")[1]


def test_a_get_of_the_old_name_is_answered_at_every_moment(house: House) -> None:
    """It takes no lock: it may come before, after, or in the middle of the change of memory."""
    answered: list[str] = []
    house.volumes.create("a", None)
    house.catalog.on_change(lambda: answered.append(house.volume_status.find("a")[0].name))
    rename(house, "a", "b")
    assert answered == ["a", "b"]


def test_a_former_name_is_free_after_its_volume_was_removed(house: House) -> None:
    """After a rename there and back, and the removal, both names can be used for new volumes."""
    house.volumes.create("a", None)
    rename(house, "a", "b")
    rename(house, "b", "a")
    house.volumes.remove("a")
    for name in ("a", "b"):
        house.volumes.create(name, None)
    house.volumes.remove("a")
    with pytest.raises(NoSuchVolume, match="volume 'a' does not exist"):
        house.volume_status.find("a")


def test_a_get_that_a_renaming_overtakes_is_answered(house: House) -> None:
    """It answers with the volume that was found a moment before."""
    house.volumes.create("a", None)
    house.catalog.after("find", 1, lambda: rename(house, "a", "b"))
    assert house.volume_status.find("a")[0].name == "a"
