"""Undelete: a wrong rm is taken back."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deadline import PATIENCE_S, await_true
from house import House, removed
from pyvol.core.errors import BadName, BadOption, CatalogFailed, NoSuchTrash, StorageFailed, VolumeExists


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
    assert house.manifest("w")["name"] == "w"


def test_undelete_of_a_taken_name_says_how_to_choose_another(house: House) -> None:
    """The volume that has the name now stays; the error names the flag."""
    removed(house)
    house.volumes.create("v", None)
    with pytest.raises(VolumeExists, match="`pyvol undelete v --as NEW_NAME`"):
        house.trash.undelete("v")
    with pytest.raises(BadName):
        house.trash.undelete("v", "../x")
    house.trash.undelete("v", "w")
    assert house.names() == ["v", "w"]


def test_undelete_of_what_is_not_there(house: House) -> None:
    """The error says where to look."""
    with pytest.raises(NoSuchTrash, match="volume 'v' is not in the trash: `pyvol trash ls`"):
        house.trash.undelete("v")


def test_undelete_is_taken_back_when_it_cannot_be_recorded(house: House) -> None:
    """An undelete that answers with an error leaves the volume in the trash, whole."""
    removed(house)
    with house.catalog.full(), pytest.raises(CatalogFailed):
        house.trash.undelete("v")
    house.trash.undelete("v")
    assert (house.data("v") / "file").read_text() == "kept"


def test_undelete_of_what_changes_while_it_waits(house: House) -> None:
    """Another request undeletes the volume, changes it and removes it again: no old options come back."""
    entry = removed(house)
    with ThreadPoolExecutor(1) as other:
        with house.locks.hold("v"):
            waiting = other.submit(house.trash.undelete, "v")
            await_true(lambda: house.locks._entries["v"].users > 1, "the undelete to wait")
            house.trash.undelete(entry.id, "w")
            house.volumes.change("w", {"mode": "0700", "on_remove": "keep"})
            house.volumes.remove("w")
        with pytest.raises(StorageFailed, match="another request has changed it"):
            waiting.result(PATIENCE_S)
    house.trash.undelete(entry.id)
    assert house.names() == ["w"]
    assert house.volumes.get("w").spec.mode == 0o700


def test_undelete_of_a_path_that_has_been_taken(house: House, tmp_path: Path) -> None:
    """No directory belongs to two volumes."""
    house.volumes.create("v", {"path": str(tmp_path)})
    house.volumes.remove("v")
    house.volumes.create("w", {"path": str(tmp_path)})
    with pytest.raises(BadOption, match=r"^volume 'v' cannot be undeleted: path .* overlaps with .* of volume 'w'"):
        house.trash.undelete("v")
