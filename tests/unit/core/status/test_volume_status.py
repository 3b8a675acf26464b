"""What people see of a volume: its status, its health, where it is."""

from pathlib import Path

import pytest

from fakes import FakePool
from house import House
from pyvol.core.errors import Conflict, StorageFailed
from pyvol.core.ports.pool import Condition


def test_status_says_what_removing_does(house: House) -> None:
    """`docker volume inspect` shows pool, path, options, claims, health, and what removal will do."""
    house.volumes.create("v", {"mode": "0700"})
    house.volumes.mount("v", "id")
    assert house.volume_status.status(house.volumes.get("v")) == {
        "pool": "default",
        "path": str(house.data("v")),
        "options": "mode=0700",
        "claims": "1",
        "health": "ok",
        "usage": "not counted yet",
        "on_remove": "moves it to the trash, for 7d",
    }
    house.volumes.activate()
    for options, summary in (
        ({"on_remove": "keep"}, "moves it to the trash, without a limit"),
        ({"on_remove": "delete"}, "deletes it permanently"),
        ({"protect": "true"}, "refused: protect=true"),
    ):
        house.volumes.change("v", options)
        assert house.volume_status.status(house.volumes.get("v"))["on_remove"] == summary
    assert house.volume_status.status(house.volumes.get("v"))["claims"] == "1 (1 of an earlier engine)"


def test_the_status_gives_the_refusal_of_a_removal_that_can_be_undone(house: House) -> None:
    """It is the error with which the removal of a protected or a claimed volume is refused."""
    house.volumes.create("v", None)
    house.volumes.mount("v", "id")
    for options in ({"protect": "true"}, {"protect": "false"}):
        volume = house.volumes.change("v", options)
        with pytest.raises(Conflict) as refused:
            house.volumes.remove("v", undoable=True)
        assert house.volume_status.refusal(volume) == str(refused.value)
    house.volumes.activate()
    assert house.volume_status.refusal(house.volumes.get("v")) == ""


def test_a_volume_of_a_pool_that_left_the_settings_is_still_known(scratch: Path) -> None:
    """Get answers for every volume that is known, whatever became of its pool (fact 1)."""
    house = House(scratch, pools={"default": FakePool(), "fast": FakePool("fast")})
    house.volumes.create("v", {"pool": "fast"})
    house.close()
    again = House(scratch, pools={"default": FakePool()})
    volume = again.volumes.get("v")
    assert again.volumes.mountpoint(volume) == ""
    assert again.volume_status.health(volume) == "its pool 'fast' is not in the settings"
    with pytest.raises(
        StorageFailed,
        match=r"volume 'v' cannot be used: pool 'fast' is not in the settings; put it back \(\[pools.fast\] of",
    ):
        again.volumes.mount("v", "id")
    again.close()


def test_the_health_of_a_volume_knows_what_its_pool_knows(scratch: Path) -> None:
    """A server that does not answer shows in `ls`, before anybody has tried to mount."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("v", None)
    volume = house.volumes.get("v")
    assert house.volume_status.health(volume) == "ok"
    pool.facts.append(Condition("server", "nas.lan does not answer", well=False))
    assert house.volume_status.health(volume) == "nas.lan does not answer"
    pool.facts.clear()
    assert house.volume_status.health(volume) == "ok"
    house.close()


def test_a_problem_is_forgotten_with_its_volume(scratch: Path) -> None:
    """The problem of a volume that another host removed is forgotten; problems of other volumes stay."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    for name in ("gone", "stays"):
        house.volumes.create(name, None)
        del pool.live[name]
        with pytest.raises(StorageFailed):
            house.volumes.mount(name, "id")
    assert house.volume_status.count_degraded() == 2
    house.catalog.forget(house.volumes.get("gone"))
    house.core.detacher.detach_all()
    assert list(house.core.detacher.degraded) == [house.volumes.get("stays").id]
    house.close()
