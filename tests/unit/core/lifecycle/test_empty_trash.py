"""Emptying the trash by hand: what goes, what stays, and that many go together."""

from pathlib import Path

import pytest

from fakes import FakePool
from house import House, removed
from pyvol.core.errors import CatalogFailed, NoSuchTrash, StorageFailed
from pyvol.core.lifecycle import trash
from pyvol.core.model.volume import Volume
from pyvol.core.ports.pool import Rollback


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
    commits, on_progress = house.catalog.changes, list[trash.Emptying]()
    pool, pid = house.pools["default"], house.kernel.run(str(house.root / "pool/trash" / entries[4].id / "_data"))
    stage_deletion = pool.stage_deletion

    def pending_deletion(*volumes: Volume) -> Rollback:
        on_progress.append(house.trash.emptying)
        return stage_deletion(*volumes)

    monkeypatch.setattr(pool, "stage_deletion", pending_deletion)
    emptied = house.trash.empty()
    assert ({volume.name for volume in emptied.gone}, len(emptied.failed)) == (set("abcd"), 1)
    assert "'e'" in emptied.failed[0]
    assert [volume.name for volume in house.trash.all()] == ["e"]
    assert house.catalog.changes - commits < 4
    assert on_progress[-1] == trash.Emptying(3, 5)
    assert house.trash.emptying == trash.Emptying()
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
    pool.failing["stage_deletion"] = "volume 'v': read-only"
    del house.pools["fast"]
    emptied = house.trash.empty()
    assert emptied.gone == []
    by_v, by_w = sorted(emptied.failed)
    assert by_v == "volume 'v': read-only"
    assert "volume 'w': pool 'fast' is not in the settings" in by_w
    with pytest.raises(StorageFailed):
        house.trash.undelete("w")
    house.close()
