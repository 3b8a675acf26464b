"""Emptying the trash by hand: what goes, what stays, and that many go together."""

from pathlib import Path

import pytest

from fakes import FakePool
from house import House, removed
from pyvol.core.concurrency.task import Task
from pyvol.core.errors import NoSuchTrash, StorageFailed


def test_emptying_by_hand(house: House) -> None:
    """All that expires; or what is named, kept volumes too; or everything."""
    for name in ("a", "b", "c"):
        removed(house, name)
    house.volumes.create("kept", {"on_remove": "keep"})
    house.volumes.remove("kept")
    with pytest.raises(NoSuchTrash):
        house.empty("a", "nope")
    assert [volume.name for volume in house.empty("a").gone] == ["a"]
    assert {volume.name for volume in house.empty().gone} == {"b", "c"}
    assert [volume.name for volume in house.empty(kept_too=True).gone] == ["kept"]


def test_a_name_comes_before_an_id(house: House) -> None:
    """If a volume's name is the id of another, the name counts, as in an undelete."""
    other = removed(house, "other")
    removed(house, other.id)
    assert [volume.name for volume in house.empty(other.id).gone] == [other.id]
    assert [volume.name for volume in house.empty(other.id).gone] == ["other"]


class Reports(Task):
    """A task that keeps what is reported to it; `cancel_at` cancels it at this report."""

    def __init__(self, cancel_at: int = -1) -> None:
        super().__init__()
        self.reports: list[tuple[int, int]] = []
        self._cancel_at = cancel_at

    def report(self, done: int, of: int, doing: str = "") -> None:
        """See `Task`."""
        super().report(done, of, doing)
        self.reports.append((done, of))
        if len(self.reports) == self._cancel_at:
            self.cancel("it was cancelled")


def test_many_are_deleted_together_and_one_that_is_used_stays(house: House) -> None:
    """A batch takes one sync and one commit, and its end is reported."""
    house.trash.batch = 3
    entries = [removed(house, name) for name in "abcde"]
    commits, task = house.catalog.changes, Reports()
    pid = house.kernel.run(str(house.root / "pool/trash" / entries[4].id / "_data"))
    emptied = house.trash.empty(house.trash.choose(), task)
    assert ({volume.name for volume in emptied.gone}, len(emptied.failed)) == (set("abcd"), 1)
    assert "'e'" in emptied.failed[0]
    assert [volume.name for volume in house.trash.all()] == ["e"]
    assert house.catalog.changes - commits < 4
    assert task.reports == [(0, 5), (3, 5), (5, 5)]
    assert not task.is_cut_short
    house.kernel.end(pid)
    house.reap()
    assert [path.name for path in (house.root / "pool/trash").iterdir()] == [entries[4].id]
    assert list((house.root / "pool/staging").iterdir()) == []


def test_a_batch_that_cannot_be_recorded_is_put_back(house: House) -> None:
    """As a whole, and then each volume by itself, with an error for each."""
    entries = [removed(house, name) for name in "ab"]
    with house.catalog.full():
        assert len(house.empty().failed) == 2
    assert {path.name for path in (house.root / "pool/trash").iterdir()} == {entry.id for entry in entries}
    assert (house.data(house.trash.undelete("a").name) / "file").read_text() == "kept"


def test_an_emptying_that_is_cancelled_keeps_the_rest(house: House) -> None:
    """Finished batches stay deleted; other volumes stay in the trash, and the result counts them."""
    house.trash.batch = 1
    for name in "abc":
        removed(house, name)
    task = Reports(cancel_at=2)
    emptied = house.trash.empty(house.trash.choose(), task)
    assert len(emptied.gone) == 1
    assert emptied.failed == ["2 removed volumes stay: it was cancelled; empty the trash again"]
    assert task.is_cut_short
    assert len(house.trash.all()) == 2


def test_a_volume_that_left_the_trash_before_its_turn_is_skipped(house: House) -> None:
    """Two emptyings that chose the same volumes, one after the other: the second has nothing to do."""
    removed(house)
    chosen = house.trash.choose()
    assert len(house.trash.empty(chosen, Task()).gone) == 1
    assert house.trash.empty(chosen, Task()) == ([], [])


@pytest.mark.parametrize("batch", [1, 2])
def test_what_is_undeleted_while_others_are_deleted_is_no_failure(house: House, batch: int) -> None:
    """An undeleted volume stays live, and the emptying deletes the other volumes."""
    for name in ("d", "c", "b", "a"):
        removed(house, name)
        house.clock.forward(microseconds=1)
    house.trash.batch = batch

    class Undeleting(Task):
        def report(self, done: int, of: int, doing: str = "") -> None:
            super().report(done, of, doing)
            if done == batch:
                house.trash.undelete("c")

    emptied = house.trash.empty(house.trash.choose(), Undeleting())
    assert ([volume.name for volume in emptied.gone], emptied.failed) == (["a", "b", "d"], [])
    assert house.names() == ["c"]


def test_what_cannot_be_emptied_is_said_and_stays(scratch: Path) -> None:
    """A pool that fails keeps its trash in the list, and the error gives the reason."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool, "fast": FakePool("fast")})
    house.volumes.create("v", None)
    house.volumes.remove("v")
    house.volumes.create("w", {"pool": "fast"})
    house.volumes.remove("w")
    pool.failing["stage_deletion"] = "volume 'v': read-only"
    del house.pools["fast"]
    emptied = house.empty()
    assert emptied.gone == []
    by_v, by_w = sorted(emptied.failed)
    assert by_v == "volume 'v': read-only"
    assert "volume 'w' cannot be used: pool 'fast' is not in the settings" in by_w
    with pytest.raises(StorageFailed):
        house.trash.undelete("w")
    house.close()
