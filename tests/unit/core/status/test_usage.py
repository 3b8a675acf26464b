"""Disk usage: which volume is counted when, and what pyvol remembers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from house import House
from pyvol.core.concurrency.task import Task
from pyvol.core.errors import BadRequest, NoSuchVolume
from pyvol.core.status.usage import PER_SECOND, OnProgress


def work(house: House) -> list[str]:
    """Count all that is due; return the names in their order."""
    before = len(house.counted)
    while house.usages.work(Task()):
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


def test_a_request_is_counted_at_full_speed(house: House) -> None:
    """The named volumes, or all, without the limit of the background; the task knows how far it is."""
    for name in ("a", "b", "c"):
        house.volumes.create(name, None)
    task = Task()
    house.usages.count(house.usages.choose(["c"]), task)
    assert [(path.split("/")[-2], rate) for path, rate in house.counted] == [("c", 0)]
    assert task.progress == (1, 1, "")
    house.usages.count(house.usages.choose([]), Task())
    assert len(house.counted) == 4


def test_a_volume_that_is_gone_before_its_turn_is_left_out(house: House) -> None:
    """The volumes after it are counted."""
    for name in ("a", "b"):
        house.volumes.create(name, None)
    chosen = house.usages.choose(["a", "b"])
    house.volumes.remove("a")
    house.usages.count(chosen, Task())
    assert [path.split("/")[-2] for path, _ in house.counted] == ["b"]


def test_only_what_can_be_counted_can_be_asked_for(house: House) -> None:
    """An unknown name is refused, and a volume whose files are out of reach."""
    with pytest.raises(NoSuchVolume):
        house.usages.choose(["nobody"])
    house.volumes.create("v", None)
    volume = house.volumes.get("v")
    del house.pools[volume.spec.pool]
    with pytest.raises(BadRequest, match="cannot be counted"):
        house.usages.choose(["v"])


def test_counts_outlive_a_restart_and_a_removal(house: House) -> None:
    """The next start shows them with their age, also in the trash, and drops counts of deleted volumes."""
    house.volumes.create("a", None)
    work(house)
    house.clock.forward(hours=1)
    again = house.reopened()
    assert again.volume_status.status(again.volumes.get("a"))["usage"] == "4.0 KiB in 2 files (1 h ago)"
    again.volumes.remove("a")
    (trashed,) = again.trash.all()
    assert again.volume_status.usage(trashed) is not None
    again.empty()
    again.usages.save()
    last = again.reopened()
    assert last.usages._known == {}
    last.close()


def test_a_count_that_fails_keeps_what_was_known(scratch: Path) -> None:
    """The size stays, and the usage says what is wrong; a count that was cancelled leaves no such trace."""
    counts: Iterator[tuple[int, int, str] | OSError] = iter(
        [(4096, 2, ""), TimeoutError(110, "its file system does not answer")]
    )

    def count(path: str, task: Task, on_progress: OnProgress, per_second: float) -> tuple[int, int, str]:
        found = next(counts, None)
        if found is None:
            task.cancel("it was cancelled")
            raise ChildProcessError(10, "killed")
        if isinstance(found, OSError):
            raise found
        return found

    house = House(scratch, count=count)
    for name in ("a", "b"):
        house.volumes.create(name, None)
    for _ in range(2):
        house.usages.count(house.usages.choose(["a"]), Task())
    usage = house.volume_status.usage(house.volumes.get("a"))
    assert usage is not None
    assert (usage.bytes, usage.problem) == (4096, "its file system does not answer")
    assert house.usages.summary(house.volumes.get("a")).startswith("at least 4.0 KiB")
    task = Task()
    house.usages.count(house.usages.choose(["b", "a"]), task)
    assert task.is_cut_short
    assert house.volume_status.usage(house.volumes.get("b")) is None
    house.close()


def test_the_background_saves_its_counts_now_and_then(house: House) -> None:
    """A daemon that is killed while it counts loses a minute of its counts, and not a day."""
    for name in ("a", "b", "c"):
        house.volumes.create(name, None)
    assert house.usages.work(Task())
    assert not (house.state / "usage.json").exists()
    house.clock.forward(minutes=2)
    assert house.usages.work(Task())
    again = House(house.root, kernel=house.kernel, clock=house.clock)
    assert again.usages._known.keys() == {house.volumes.get(name).id for name in "ab"}
    again.close()


def test_a_file_of_counts_that_cannot_be_read_is_replaced(house: House) -> None:
    """The counts can be made again, so nothing else fails."""
    house.volumes.create("a", None)
    work(house)
    house.usages.save()
    (house.state / "usage.json").write_text("nonsense")
    again = house.reopened()
    assert again.volume_status.usage(again.volumes.get("a")) is None
    assert "counts cannot be read, and are counted again" in again.log.events
    assert work(again) == ["a"]
    again.close()


def test_counts_that_cannot_be_written_are_reported(house: House) -> None:
    """The counts stay in memory."""
    house.volumes.create("a", None)
    (house.state / "usage.new").mkdir()
    work(house)
    assert "counts cannot be kept" in house.log.events
    assert house.volume_status.usage(house.volumes.get("a")) is not None
