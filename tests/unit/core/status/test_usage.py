"""What volumes take: who is counted when, and what is remembered of it."""

from collections.abc import Callable

import pytest

from house import House
from pyvol.core.errors import BadRequest, NoSuchVolume
from pyvol.core.status.usage import PER_SECOND


def work(house: House) -> list[str]:
    """Count all that is due; return the names in their order."""
    before = len(house.counted)
    while house.usages.work():
        pass
    return [path.split("/")[-2] for path, _ in house.counted[before:]]


def test_the_background_counts_each_volume_when_its_count_is_old(house: House) -> None:
    """New ones first, then the oldest count; nothing twice within the time that is set."""
    house.volumes.create("a", None)
    assert work(house) == ["a"]
    house.clock.forward(hours=3)
    house.volumes.create("b", None)
    assert work(house) == ["b"]
    house.clock.forward(hours=4)
    assert work(house) == ["a"]
    assert {rate for _, rate in house.counted} == {PER_SECOND}


def test_a_count_from_the_future_is_due(house: House) -> None:
    """A clock that was ahead and is set back would keep its counts for years."""
    house.volumes.create("a", None)
    house.clock.set_ahead(days=3000)
    assert work(house) == ["a"]
    house.clock.set_ahead(days=-3000)
    assert work(house) == ["a"]
    assert work(house) == []


def test_who_asks_is_served_first_and_at_full_speed(house: House) -> None:
    """Before those that are due, and without the limit of the background."""
    for name in ("a", "b", "c"):
        house.volumes.create(name, None)
    assert house.usages.ask(["c"]) == 1
    assert house.usages.waiting == 1
    assert house.usages.work()
    assert house.counted[0][0].endswith("/c/_data")
    assert house.counted[0][1] == 0
    assert house.usages.waiting == 0
    assert house.usages.ask([]) == 3
    assert sorted(work(house)) == ["a", "b", "c"]


def test_a_volume_that_is_gone_before_its_turn_is_left_out(house: House) -> None:
    """Nobody waits for it for ever."""
    house.volumes.create("a", None)
    house.usages.ask(["a"])
    house.volumes.remove("a")
    assert work(house) == []
    assert house.usages.waiting == 0


def test_only_what_can_be_counted_can_be_asked_for(house: House) -> None:
    """An unknown name is refused, and a volume whose files are out of reach."""
    with pytest.raises(NoSuchVolume):
        house.usages.ask(["nobody"])
    house.volumes.create("v", None)
    volume = house.volumes.get("v")
    del house.pools[volume.spec.pool]
    with pytest.raises(BadRequest, match="cannot be counted"):
        house.usages.ask(["v"])


def test_counts_outlive_a_restart_and_a_removal(house: House) -> None:
    """The next life shows them with their age, in the trash too; those of volumes that are gone are dropped."""
    house.volumes.create("a", None)
    work(house)
    house.clock.forward(hours=1)
    again = house.reopened()
    assert again.volume_status.status(again.volumes.get("a"))["usage"] == "4.0 KiB in 2 files (1 h ago)"
    again.volumes.remove("a")
    (trashed,) = again.trash.all()
    assert again.volume_status.usage(trashed) is not None
    again.trash.empty()
    again.usages.save()
    last = again.reopened()
    assert last.usages._known == {}
    last.close()


def test_a_count_that_fails_keeps_what_was_known(house: House) -> None:
    """The size stays, and what is wrong stands beside it; a stop leaves no such trace."""
    house.volumes.create("a", None)
    work(house)

    def fail(path: str, per_second: float, on_progress: Callable[[int, int], None]) -> tuple[int, int, str]:
        raise TimeoutError(110, "its file system does not answer")

    house.usages._count = fail
    house.usages.ask(["a"])
    house.usages.work()
    usage = house.volume_status.usage(house.volumes.get("a"))
    assert usage is not None
    assert (usage.bytes, usage.trouble) == (4096, "its file system does not answer")
    assert house.usages.summary(house.volumes.get("a")).startswith("at least 4.0 KiB")
    house.volumes.create("b", None)
    house.usages.ask(["b"])
    house.usages.stop()
    house.usages.work()
    assert house.volume_status.usage(house.volumes.get("b")) is None


def test_a_file_of_counts_that_cannot_be_read_is_made_anew(house: House) -> None:
    """It can all be counted again, so nothing else is harmed."""
    house.volumes.create("a", None)
    work(house)
    house.usages.save()
    (house.state / "usage.db").write_text("nonsense")
    again = house.reopened()
    assert again.volume_status.usage(again.volumes.get("a")) is None
    assert "counts cannot be read, and are counted again" in again.log.events
    assert work(again) == ["a"]
    again.close()
