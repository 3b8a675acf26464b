"""The trash: what stays in it, and what goes when its time or the room of its pool is over."""

import json
from pathlib import Path

from fakes import FakePool
from house import House, removed
from pyvol.core.concurrency.task import Task
from pyvol.core.model.volume import Space
from pyvol.core.ports.pool import REMOTE


def test_trash_expires(house: House) -> None:
    """A removed volume is deleted after trash_keep, and not earlier."""
    removed(house)
    house.clock.forward(days=6, hours=23)
    house.expire()
    assert len(house.trash.all()) == 1
    house.clock.forward(hours=1)
    house.expire()
    assert house.trash.all() == []
    house.reap()
    assert list((house.root / "pool/trash").iterdir()) == []
    assert list((house.root / "pool/staging").iterdir()) == []


def test_a_volume_that_is_removed_again_while_the_trash_expires_gets_its_whole_time(scratch: Path) -> None:
    """A volume that has expired, and is undeleted and removed again before its turn, is not deleted."""
    house = House(scratch, lock_wait_s=0.05)  # the batch has the locks of both
    removed(house, "again")
    over = removed(house, "over")
    house.clock.forward(days=7)

    def remove_again(path: str) -> None:
        if over.id in path:
            house.trash.undelete("again")
            house.volumes.remove("again")

    house.kernel.on_users = remove_again
    expired = house.expire()
    assert [volume.name for volume in expired.gone] == ["over"]
    assert "another request has changed it" in expired.failed[0]
    assert [volume.name for volume in house.trash.all()] == ["again"]
    house.close()


def test_a_clock_that_is_set_ahead_lets_nothing_go(house: House) -> None:
    """A volume that expired only by a jump of the clock gets its full time again; other expired ones go."""
    gone = removed(house, "gone")
    house.clock.forward(days=7)
    kept = removed(house, "kept")
    house.clock.set_ahead(days=20_000)
    assert [volume.id for volume in house.expire().gone] == [gone.id]
    assert "the clock was set ahead: check that it is right" in house.log.events
    house.clock.forward(days=6, hours=23)
    assert house.expire().gone == []
    house.clock.forward(hours=1)
    assert [volume.id for volume in house.expire().gone] == [kept.id]


def test_a_renewed_time_outlives_the_catalog(house: House) -> None:
    """The record in the trash has it too; a pool that cannot be written does not hold up the others."""
    entry = removed(house)
    house.clock.set_ahead(days=20_000)
    house.expire()
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
    again.expire()
    assert "new expiry time not written to the pool" in again.log.events
    assert len(again.trash.all()) == 1
    again.close()


def test_a_pool_short_of_room_lets_the_oldest_go_first(scratch: Path) -> None:
    """Under trash_min_free one volume goes at a time, oldest first, and on_remove=keep never."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool}, min_free_percent=10.0)
    house.volumes.create("kept", {"on_remove": "keep"})
    house.volumes.remove("kept")
    for name in ("old", "young"):
        house.clock.forward(hours=1)
        house.volumes.create(name, None)
        house.volumes.remove(name)
    pool.failing["listing"] = "each minute it would read the names of all volumes"
    house.expire()
    assert len(house.trash.all()) == 3
    pool.room = Space(0, 0)  # ramfs reports this, and some FUSE file systems: it is not a shortage
    assert house.expire().gone == []
    pool.room = Space(100, 9)
    assert [volume.name for volume in house.expire().gone] == ["old"]
    assert house.expire().gone == []  # the space of pending deletions does not show yet
    assert house.purge.purge(pool)
    assert [volume.name for volume in house.expire().gone] == ["young"]
    house.purge.purge(pool)
    assert house.expire().gone == []
    assert [volume.name for volume in house.trash.all()] == ["kept"]
    house.close()


def test_an_oldest_that_cannot_go_keeps_no_room_from_being_made(scratch: Path) -> None:
    """The next oldest goes in its place, and it alone."""
    house = House(scratch, pools={"default": (pool := FakePool())}, min_free_percent=10.0)
    for name in ("a", "b", "c"):
        house.clock.forward(hours=1)
        house.volumes.create(name, None)
        house.volumes.remove(name)
    house.kernel.run(pool.mountpoint(house.trash.all()[-1]))
    pool.room = Space(100, 9)
    emptied = house.expire()
    assert [volume.name for volume in emptied.gone] == ["b"]
    assert [error.split(" (")[0] for error in emptied.failed] == ["volume 'a' cannot be deleted from the trash"]
    house.purge.purge(pool)
    stopped = Task()
    stopped.cancel("pyvol is stopping")
    assert house.trash.expire(stopped).gone == []
    house.close()


def test_a_pool_that_cannot_tell_its_room_keeps_its_trash(scratch: Path) -> None:
    """In doubt nothing is deleted early."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool}, min_free_percent=10.0)
    house.volumes.create("v", None)
    house.volumes.remove("v")
    pool.failing["space"] = "no such file"
    assert house.expire().gone == []
    assert house.log.events[-1] == "room in pool unknown"
    house.close()


def test_an_adopted_path_in_the_trash_takes_no_room(scratch: Path) -> None:
    """Deleting its record would free nothing."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool}, min_free_percent=10.0)
    house.volumes.create("v", {"path": "/srv/v"})
    house.volumes.remove("v")
    pool.room = Space(100, 1)
    assert house.expire().gone == []
    house.close()


def test_what_cannot_be_deleted_holds_nothing_else_up(scratch: Path) -> None:
    """The doctor reports a tree that cannot be deleted; others are deleted when space is short."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    for name in ("a", "b", "c"):
        house.volumes.create(name, {"on_remove": "delete"})
    stuck = house.volumes.get("a").id
    pool.stuck[stuck] = "pool 'default': could not delete a: busy"
    for name in ("a", "b", "c"):
        house.volumes.remove(name)
    house.reap()
    assert pool.pending_deletion() == {stuck}
    (finding,) = [finding for finding in house.doctor.examine() if "half-done" in finding.check]
    assert not finding.well
    assert "could not delete a: busy" in finding.summary
    pool.stuck.clear()
    house.reap()
    assert not pool.pending_deletion()
    house.close()


def test_a_name_that_looks_like_an_id_is_a_name(house: House) -> None:
    """Sixteen hex digits may be a volume's name; only the volume that has expired is deleted."""
    old = removed(house)
    house.volumes.create(old.id, {"on_remove": "keep"})
    house.volumes.remove(old.id)
    house.clock.forward(days=8)
    assert [volume.name for volume in house.expire().gone] == ["v"]
    assert [volume.name for volume in house.trash.all()] == [old.id]
    assert house.trash.undelete(old.id).name == old.id


def test_trash_that_somebody_has_mounted_stays(house: House) -> None:
    """A rescue container reads it: nothing is deleted that is in use (promise 3)."""
    entry = removed(house)
    pid = house.kernel.run(str(house.root / "pool/trash" / entry.id / "_data"))
    house.clock.forward(days=8)
    (failed,) = house.expire().failed
    assert "has it mounted at /data" in failed
    house.kernel.end(pid)
    assert len(house.expire().gone) == 1


def test_a_pool_that_cannot_be_read_holds_nothing_up_and_is_logged_once(scratch: Path) -> None:
    """A server that is down is already in the log; a failure on this host is logged."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("v", None)
    house.volumes.remove("v")
    pool.failing["pending_deletion"] = "pool 'default': gone"
    assert house.purge.purge(pool) is False
    house.expire()
    assert [event for event in house.log.events if "pool" in event] == ["pool not purged", "room in pool unknown"]
    pool.traits = REMOTE
    house.log.lines.clear()
    assert house.purge.purge(pool) is False
    house.expire()
    assert house.log.events == []
    house.close()


def test_what_cannot_be_deleted_is_logged_once(scratch: Path) -> None:
    """The garbage collector runs every minute, and the reason is the same."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("v", {"on_remove": "delete"})
    pool.stuck[house.volumes.get("v").id] = "pool 'default': could not delete x"
    house.volumes.remove("v")
    house.purge.purge(pool)
    house.purge.purge(pool)
    assert house.log.events.count("not deleted") == 1
    house.close()
