"""Options that somebody asks for, beside the volume of that name."""

from house import House
from pyvol.core.model.options import Difference
from pyvol.core.status.compare import Comparison, compare


def test_only_what_differs_is_named(house: House) -> None:
    """With both values, and whether it can be changed; nothing is."""
    house.volumes.create("v", {"uid": "7", "subdir": "x"})
    before = house.volumes.get("v")
    assert compare(house.volumes, "v", {"uid": "7", "subdir": "/x/"}) == Comparison(exists=True)
    found = compare(house.volumes, "v", {"mode": "700"})
    assert found.differences == (
        Difference("uid", "7", None, mutable=True),
        Difference("mode", None, "0700", mutable=True),
        Difference("subdir", "x", None, mutable=False),
    )
    assert house.volumes.get("v") == before


def test_options_that_create_would_refuse_are_reported(house: House) -> None:
    """Whether or not there is such a volume."""
    house.volumes.create("v", None)
    for name, exists in (("v", True), ("w", False)):
        found = compare(house.volumes, name, {"path": "/nowhere"})
        assert (found.exists, found.differences) == (exists, ())
        assert "path /nowhere is refused" in found.problem


def test_a_name_is_looked_up(house: House) -> None:
    """There, renamed or missing."""
    house.volumes.create("a", None)
    house.renaming.rename(house.volumes.get("a"), "b")
    assert compare(house.volumes, "a", None) == Comparison(exists=False, now="b")
    assert compare(house.volumes, "b", None) == Comparison(exists=True)
    assert compare(house.volumes, "c", {}) == Comparison(exists=False)


def test_an_owner_can_be_taken_back(house: House) -> None:
    """An unset option is as if it had never been set; only uid, gid and mode can be unset."""
    house.volumes.create("v", {"uid": "7", "mode": "0700"})
    house.volumes.change("v", {"uid": "", "mode": "", "protect": ""})
    spec = house.volumes.get("v").spec
    assert (spec.uid, spec.mode, spec.protect) == (None, None, True)
