"""The trash: undelete, expiry, emptying."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from fakes import FakePool
from house import House
from pyvol.core import trash
from pyvol.core.errors import BadName, BadOption, CatalogFailed, NoSuchTrash, StorageFailed, VolumeExists
from pyvol.core.model import MountUser, Space, Volume
from pyvol.core.overlap import AdoptedDirectories
from pyvol.core.pool import Undo
from pyvol.core.trash import Trash


def removed(house: House, name: str = "v", text: str = "kept") -> Volume:
    """Create a volume with a file in it, and remove it."""
    house.volumes.create(name, None)
    (house.data(name) / "file").write_text(text)
    house.volumes.remove(name)
    return house.trash.all()[0]


def test_undelete_brings_back_name_data_and_options(house: House) -> None:
    """A wrong rm can be undone (promise 3)."""
    house.volumes.create("v", {"mode": "0700"})
    (house.data("v") / "file").write_text("kept")
    created = house.volumes.get("v")
    house.volumes.remove("v")
    house.trash.undelete("v")
    assert house.volumes.get("v") == created
    assert (house.data("v") / "file").read_text() == "kept"
    assert not (house.root / "pool/volumes/v/removed.json").exists()


def test_undelete_takes_the_latest_and_any_by_id(house: House) -> None:
    """Several removed volumes may have had one name; the latest is meant, and each has an id."""
    first = removed(house, text="first")
    house.clock.forward(microseconds=1)
    removed(house, text="second")
    house.trash.undelete("v")
    assert (house.data("v") / "file").read_text() == "second"
    house.trash.undelete(first.id, "w")
    assert (house.data("w") / "file").read_text() == "first"
    assert house.descriptor("w")["name"] == "w"


def test_undelete_of_a_taken_name_says_how_to_choose_another(house: House) -> None:
    """The volume that has the name now stays; the error names the flag."""
    removed(house)
    house.volumes.create("v", None)
    with pytest.raises(VolumeExists, match="`pyvol undelete v --as NEW_NAME`"):
        house.trash.undelete("v")
    with pytest.raises(BadName):
        house.trash.undelete("v", "../x")
    house.trash.undelete("v", "w")
    assert [volume.name for volume in house.volumes.all()] == ["v", "w"]


def test_undelete_of_what_is_not_there(house: House) -> None:
    """The error says where to look."""
    with pytest.raises(NoSuchTrash, match="no removed volume 'v' in the trash: `pyvol trash ls`"):
        house.trash.undelete("v")


def test_undelete_is_taken_back_when_it_cannot_be_recorded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An undelete that answers with an error leaves the volume in the trash, whole."""
    removed(house)

    def full(*_: Volume) -> None:
        raise CatalogFailed("the catalog could not be written")

    with monkeypatch.context() as patch:
        patch.setattr(house.catalog, "save", full)
        with pytest.raises(CatalogFailed):
            house.trash.undelete("v")
    house.trash.undelete("v")
    assert (house.data("v") / "file").read_text() == "kept"


def test_trash_expires(house: House) -> None:
    """After trash_keep a removed volume goes for good, and not before."""
    removed(house)
    house.clock.forward(days=6, hours=23)
    house.trash.expire()
    assert len(house.trash.all()) == 1
    house.clock.forward(hours=1)
    house.trash.expire()
    assert house.trash.all() == []
    house.reap()
    assert list((house.root / "pool/trash").iterdir()) == []
    assert list((house.root / "pool/staging").iterdir()) == []


def test_what_is_removed_once_more_while_the_trash_expires_has_its_time_anew(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was chosen for its age, and undeleted and removed again before its turn, is not gone for good."""
    removed(house, "again")
    over = removed(house, "over")
    house.clock.forward(days=7)
    users = house.kernel.users

    def meanwhile(path: str) -> Sequence[MountUser]:
        if over.id in path:
            house.trash.undelete("again")
            house.volumes.remove("again")
        return users(path)

    monkeypatch.setattr(house.kernel, "users", meanwhile)
    expired = house.trash.expire()
    assert [volume.name for volume in expired.gone] == ["over"]
    assert "has changed meanwhile and stays" in expired.failed[0]
    assert [volume.name for volume in house.trash.all()] == ["again"]


def test_a_clock_that_is_set_ahead_lets_nothing_go(house: House) -> None:
    """What only a jump of the clock took over its time has its whole time anew; what was over it before goes."""
    gone = removed(house, "gone")
    house.clock.forward(days=7)
    kept = removed(house, "kept")
    house.clock.set_ahead(days=20_000)
    assert [volume.id for volume in house.trash.expire().gone] == [gone.id]
    assert "the clock was set ahead: see that it is right" in house.journal.events
    house.clock.forward(days=6, hours=23)
    assert house.trash.expire().gone == []
    house.clock.forward(hours=1)
    assert [volume.id for volume in house.trash.expire().gone] == [kept.id]


def test_a_time_that_was_given_anew_outlives_the_catalog(house: House) -> None:
    """It stands in the trash too, with who removed the volume; a pool that does not take it keeps no other waiting."""
    entry = removed(house)
    house.clock.set_ahead(days=20_000)
    house.trash.expire()
    (until,) = (volume.until for volume in house.trash.all())
    assert until is not None
    assert until > house.clock.now
    record = house.root / "pool/trash" / entry.id / "removed.json"
    assert json.loads(record.read_text())["host"] == "host-1"
    house.catalog.close()
    for part in house.state.glob("pyvol.db*"):
        part.unlink()
    again = house.reopened()
    assert [volume.until for volume in again.trash.all()] == [until]
    record.parent.rename(house.root / "away")
    house.clock.set_ahead(days=20_000)
    again.trash.expire()
    assert "a new time is not in the trash" in again.journal.events
    assert len(again.trash.all()) == 1
    again.close()


def short_trash(house: House) -> Trash:
    """The house's trash, where a pool under 10 % free is short of room."""
    return Trash(
        catalog=house.catalog,
        pools=house.pools,
        clock=house.clock,
        steady=house.clock.steady,
        journal=house.journal,
        locks=house.locks,
        mounts=house.kernel,
        min_free_percent=10.0,
        wake_reaper=lambda: None,
        adopted=AdoptedDirectories(house.catalog, house.locks, house.sharing),
        stuck=house.sweeping.stuck,
    )


def test_a_pool_short_of_room_lets_the_oldest_go_first(scratch: Path) -> None:
    """Under trash_min_free one volume goes at a time, oldest first, and on_remove=keep never."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("kept", {"on_remove": "keep"})
    house.volumes.remove("kept")
    for name in ("old", "young"):
        house.clock.forward(hours=1)
        house.volumes.create(name, None)
        house.volumes.remove(name)
    trash = short_trash(house)
    trash.expire()
    assert len(trash.all()) == 3
    pool.room = Space(0, 0)  # as ramfs tells it, and some of FUSE: that is no shortage
    assert trash.expire().gone == []
    pool.room = Space(100, 9)
    assert [volume.name for volume in trash.expire().gone] == ["old"]
    assert trash.expire().gone == []  # what is on its way out has not made its room yet
    assert house.sweeping.sweep(pool)
    assert [volume.name for volume in trash.expire().gone] == ["young"]
    house.sweeping.sweep(pool)
    assert trash.expire().gone == []
    assert [volume.name for volume in trash.all()] == ["kept"]
    house.close()


def test_a_pool_that_cannot_tell_its_room_keeps_its_trash(scratch: Path) -> None:
    """In doubt nothing goes before its time."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("v", None)
    house.volumes.remove("v")
    pool.failing["space"] = "no such file"
    trash = short_trash(house)
    assert trash.expire().gone == []
    assert house.journal.events[-1] == "room in pool unknown"
    house.close()


def test_an_adopted_path_in_the_trash_takes_no_room(scratch: Path) -> None:
    """Letting go of its record would free nothing."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("v", {"path": "/srv/v"})
    house.volumes.remove("v")
    pool.room = Space(100, 1)
    assert short_trash(house).expire().gone == []
    house.close()


def test_what_cannot_be_deleted_holds_nothing_else_up(scratch: Path) -> None:
    """One stuck tree is named by the doctor; the others go, and the room of the pool is looked after."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    for name in ("a", "b", "c"):
        house.volumes.create(name, {"on_remove": "delete"})
    stuck = house.volumes.get("a").id
    pool.stuck[stuck] = "pool 'default': could not delete a: busy"
    for name in ("a", "b", "c"):
        house.volumes.remove(name)
    house.reap()
    assert set(pool.discarded) == {stuck}
    (finding,) = [finding for finding in house.doctor.examine() if "half-done" in finding.check]
    assert not finding.well
    assert "could not delete a: busy" in finding.says
    pool.stuck.clear()
    house.reap()
    assert pool.discarded == {}
    house.close()


def test_a_name_that_looks_like_an_id_is_a_name(house: House) -> None:
    """Sixteen hex digits may be a volume's name; what expires is the volume that is over its time, and no other."""
    old = removed(house)
    house.volumes.create(old.id, {"on_remove": "keep"})
    house.volumes.remove(old.id)
    house.clock.forward(days=8)
    assert [volume.name for volume in house.trash.expire().gone] == ["v"]
    assert [volume.name for volume in house.trash.all()] == [old.id]
    assert house.trash.undelete(old.id).name == old.id


def test_trash_that_somebody_has_mounted_stays(house: House) -> None:
    """A rescue container reads it: nothing is deleted that is in use (promise 3)."""
    entry = removed(house)
    pid = house.kernel.run(str(house.root / "pool/trash" / entry.id / "_data"))
    house.clock.forward(days=8)
    (failed,) = house.trash.expire().failed
    assert "has it mounted at /data" in failed
    house.kernel.end(pid)
    assert len(house.trash.expire().gone) == 1


def test_undelete_of_a_path_that_has_been_taken(house: House, tmp_path: Path) -> None:
    """No directory belongs to two volumes."""
    house.volumes.create("v", {"path": str(tmp_path)})
    house.volumes.remove("v")
    house.volumes.create("w", {"path": str(tmp_path)})
    with pytest.raises(BadOption, match=r"^volume 'v': path .* overlaps that of volume 'w'"):
        house.trash.undelete("v")


def test_emptying_by_hand(house: House) -> None:
    """All that expires; or what is named, kept volumes too; or everything."""
    for name in ("a", "b", "c"):
        removed(house, name)
    house.volumes.create("kept", {"on_remove": "keep"})
    house.volumes.remove("kept")
    with pytest.raises(NoSuchTrash):
        house.trash.empty(["a", "nope"])
    assert [volume.name for volume in house.trash.empty(["a"]).gone] == ["a"]
    assert {volume.name for volume in house.trash.empty().gone} == {"b", "c"}
    assert [volume.name for volume in house.trash.empty(kept_too=True).gone] == ["kept"]


def test_many_go_together_and_one_that_is_used_stays(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one sync and one commit for all of a batch; it is told how far that is."""
    monkeypatch.setattr(trash, "BATCH", 3)
    entries = [removed(house, name) for name in "abcde"]
    commits, heard = house.catalog.changes, list[trash.Emptying]()
    pool, pid = house.pools["default"], house.kernel.run(str(house.root / "pool/trash" / entries[4].id / "_data"))
    discard = pool.discard

    def discarded(*volumes: Volume) -> Undo:
        heard.append(house.trash.emptying)
        return discard(*volumes)

    monkeypatch.setattr(pool, "discard", discarded)
    emptied = house.trash.empty()
    assert ({volume.name for volume in emptied.gone}, len(emptied.failed)) == (set("abcd"), 1)
    assert "'e'" in emptied.failed[0]
    assert [volume.name for volume in house.trash.all()] == ["e"]
    assert house.catalog.changes - commits < 4
    assert heard[-1] == (3, 5)
    assert house.trash.emptying == (0, 0)
    house.kernel.end(pid)
    house.reap()
    assert [path.name for path in (house.root / "pool/trash").iterdir()] == [entries[4].id]
    assert list((house.root / "pool/staging").iterdir()) == []


def test_a_batch_that_cannot_be_recorded_is_put_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a whole, and then each by itself, with a sentence for each."""
    entries = [removed(house, name) for name in "ab"]

    def full(*_: Volume) -> None:
        raise CatalogFailed("the catalog could not be written")

    with monkeypatch.context() as patch:
        patch.setattr(house.catalog, "forget", full)
        assert len(house.trash.empty().failed) == 2
    assert {path.name for path in (house.root / "pool/trash").iterdir()} == {entry.id for entry in entries}
    assert (house.data(house.trash.undelete("a").name) / "file").read_text() == "kept"


def test_an_emptying_is_given_up_when_the_daemon_stops(house: House) -> None:
    """What is left stays in the trash, and that is said."""
    removed(house)
    house.trash.end()
    (failed,) = house.trash.empty().failed
    assert failed == "1 removed volumes stay: pyvol is stopping; empty it again"
    assert len(house.trash.all()) == 1


def test_what_cannot_be_emptied_is_said_and_stays(scratch: Path) -> None:
    """A pool that fails keeps its trash in the list, with the reason told."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool, "fast": FakePool("fast")})
    house.volumes.create("v", None)
    house.volumes.remove("v")
    house.volumes.create("w", {"pool": "fast"})
    house.volumes.remove("w")
    pool.failing["discard"] = "volume 'v': read-only"
    del house.pools["fast"]
    emptied = house.trash.empty()
    assert emptied.gone == []
    by_v, by_w = sorted(emptied.failed)
    assert by_v == "volume 'v': read-only"
    assert "volume 'w': pool 'fast' is not in the settings" in by_w
    with pytest.raises(StorageFailed):
        house.trash.undelete("w")
    house.close()


def test_a_pool_that_cannot_be_read_holds_nothing_up_and_is_logged_once(scratch: Path) -> None:
    """Of a server that is down the log has spoken already; a directory of this host is named."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("v", None)
    house.volumes.remove("v")
    pool.failing["census"] = "pool 'default': gone"
    assert house.sweeping.sweep(pool) is False
    house.trash.expire()
    assert [event for event in house.journal.events if "pool" in event] == ["pool not swept", "room in pool unknown"]
    pool.is_remote = True
    house.journal.lines.clear()
    assert house.sweeping.sweep(pool) is False
    house.trash.expire()
    assert house.journal.events == []
    house.close()


def test_what_cannot_be_deleted_is_logged_once(scratch: Path) -> None:
    """The reaper comes by every minute, and the reason is the same."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("v", {"on_remove": "delete"})
    pool.stuck[house.volumes.get("v").id] = "pool 'default': could not delete x"
    house.volumes.remove("v")
    house.sweeping.sweep(pool)
    house.sweeping.sweep(pool)
    assert house.journal.events.count("not deleted") == 1
    house.close()
