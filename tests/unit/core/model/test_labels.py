"""Labels that pyvol keeps: people set them, and they survive a rename, a removal and a rebuild."""

import sqlite3
from contextlib import closing

import pytest

from house import House
from pyvol.catalog import schema
from pyvol.core.errors import BadOption
from pyvol.core.model.volume import Phase

LABELS = (("backup", "daily"), ("project", "a shop"))


def test_labels_are_set_replaced_and_unset(house: House) -> None:
    """Labels are set by key, together with options; unsetting a label that does not exist is allowed."""
    house.volumes.create("v", None)
    assert "labels" not in house.volume_status.status(house.volumes.get("v"))
    house.volumes.change("v", {"uid": "7"}, {"project": "x", "backup": "daily"})
    changed = house.volumes.change("v", {}, {"project": "a shop", "nothing": None})
    assert (changed.labels, changed.spec.uid) == (LABELS, 7)
    assert house.volume_status.status(changed)["labels"] == "backup=daily project=a shop"
    assert house.volumes.change("v", {}, {"project": None}).labels == LABELS[:1]
    house.volumes.create("v", {"uid": "7"})  # labels make no other volume of it


@pytest.mark.parametrize("restart", ["same", "rebuilt"])
def test_labels_stay_with_the_volume(house: House, restart: str) -> None:
    """Through a renaming, the trash and a restart, also one in which the catalog was lost."""
    house.volumes.create("v", None)
    house.volumes.change("v", {}, dict(LABELS))
    house.renaming.rename(house.volumes.get("v"), "w")
    house.volumes.remove("w")
    if restart == "rebuilt":
        house.close()
        for part in house.state.glob("pyvol.db*"):
            part.unlink()
        again = House(house.root)
    else:
        again = house.reopened()
    again.trash.undelete("w")
    assert again.volumes.get("w").labels == LABELS
    assert again.manifest("w")["labels"] == dict(LABELS)
    again.close()


def test_a_repaired_manifest_brings_its_labels_and_names(house: House) -> None:
    """When a manifest can be read again, its labels and former names are there."""
    house.volumes.create("a", None)
    house.volumes.change("a", {}, dict(LABELS))
    house.renaming.rename(house.volumes.get("a"), "v")
    house.close()
    for part in house.state.glob("pyvol.db*"):
        part.unlink()
    manifest = house.root / "pool/volumes/v/volume.json"
    whole = manifest.read_bytes()
    manifest.write_text("nonsense")
    between = House(house.root)
    assert between.volumes.get("v").phase is Phase.UNREADABLE
    manifest.write_bytes(whole)
    again = between.reopened()
    assert (again.volumes.get("v").labels, again.volumes.get("v").former) == (LABELS, ("a",))
    again.close()


@pytest.mark.parametrize(
    ("label", "summary"),
    [
        ({"": "x"}, "'' is not a label"),
        ({"a b": "x"}, "'a b' is not a label"),
        ({"a=b": None}, "'a=b' is not a label"),
        ({"a\x1b": "x"}, "is not a label"),
        ({"k" * 129: "x"}, "is not a label"),
        ({"k": "two\nlines"}, "the value of label k is not one line"),
        ({"k": "x" * 1025}, "the value of label k is not one line"),
        ({f"k{number}": "" for number in range(65)}, "at most 64 labels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_labels_are_refused(house: House, label: dict[str, str | None], summary: str) -> None:
    """With the volume's name, and nothing changed, the options beside it included."""
    house.volumes.create("v", None)
    with pytest.raises(BadOption, match=f"volume 'v' cannot be changed: .*{summary}"):
        house.volumes.change("v", {"uid": "7"}, label)
    assert (house.volumes.get("v").labels, house.volumes.get("v").spec.uid) == ((), None)


def test_a_catalog_of_before_has_none(house: House) -> None:
    """An upgrade finds all volumes, without labels."""
    house.volumes.create("v", None)
    house.close()
    with closing(sqlite3.connect(house.state / "pyvol.db")) as db:
        db.executescript("ALTER TABLE volumes DROP COLUMN labels; PRAGMA user_version = 2;")
    again = House(house.root)
    assert again.volumes.get("v").labels == ()
    again.close()
    with closing(sqlite3.connect(house.state / "pyvol.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
