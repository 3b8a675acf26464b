"""The subjects of each fault: every verb that changes something, and how to check whether it did."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from pyvol.client.pyvol_api import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from served import Served

MOUNT_ID = "f" * 64


@dataclasses.dataclass(frozen=True)
class Facts:
    """The daemon's answers about one volume."""

    live: bool = False
    trashed: bool = False
    claims: int = 0
    options: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Verb:
    """One verb: what it needs, how it is called, and the facts before and after it."""

    name: str
    prepare: Callable[[Served, str], None]
    act: Callable[[Served, str], str]
    before: Facts
    after: Facts

    def __str__(self) -> str:
        return self.name


def call(served: Served, verb: str, name: str, **fields: object) -> str:
    """Call one of Docker's verbs; return its error message, or an empty string."""
    reply = served.call(f"VolumeDriver.{verb}", {"Name": name, **fields})
    error: str = reply.json.get("Err", "")
    assert (reply.status == 200) == (error == ""), reply
    return error


def create(served: Served, name: str, **options: str) -> str:
    """Create a volume."""
    return call(served, "Create", name, Opts=options)


def mount(served: Served, name: str) -> str:
    """Mount a volume."""
    return call(served, "Mount", name, ID=MOUNT_ID)


def unmount(served: Served, name: str) -> str:
    """Unmount a volume."""
    return call(served, "Unmount", name, ID=MOUNT_ID)


def remove(served: Served, name: str) -> str:
    """Remove a volume."""
    return call(served, "Remove", name)


def undelete(served: Served, name: str) -> str:
    """Restore a volume from the trash."""
    try:
        with served.client() as client:
            client.undelete(name)
    except RequestRefused as error:
        return str(error)
    return ""


def protect(served: Served, name: str) -> str:
    """Change an option of a volume."""
    try:
        with served.client() as client:
            client.set(name, {"protect": "true"})
    except RequestRefused as error:
        return str(error)
    return ""


def _nothing(_served: Served, _name: str) -> None:
    """Prepare nothing."""


def _created(served: Served, name: str, **options: str) -> None:
    assert create(served, name, **options) == ""
    (served.root / "volumes" / name / "_data" / "mark").write_text(name)


def _created_to_delete(served: Served, name: str) -> None:
    _created(served, name, on_remove="delete")


def _mounted(served: Served, name: str) -> None:
    _created(served, name)
    assert mount(served, name) == ""


def _removed(served: Served, name: str) -> None:
    _created(served, name)
    assert remove(served, name) == ""


LIVE = Facts(live=True)
VERBS = (
    Verb("create", _nothing, create, Facts(), LIVE),
    Verb("mount", _created, mount, LIVE, Facts(live=True, claims=1)),
    Verb("unmount", _mounted, unmount, Facts(live=True, claims=1), LIVE),
    Verb("set", _created, protect, LIVE, Facts(live=True, options=(("protect", "true"),))),
    Verb("remove", _created, remove, LIVE, Facts(trashed=True)),
    Verb("delete", _created_to_delete, remove, Facts(live=True, options=(("on_remove", "delete"),)), Facts()),
    Verb("undelete", _removed, undelete, Facts(trashed=True), LIVE),
)


def facts(served: Served, name: str) -> Facts:
    """Return the daemon's facts about a volume, and check that the volume is healthy and has its data."""
    with served.client() as client:
        live = [volume for volume in client.volumes() if volume.name == name]
        trashed = [volume for volume in client.trash() if volume.name == name]
        claims = sum(claim.count for claim in client.claims().claims if claim.volume == name)
    assert len(live) + len(trashed) <= 1, (live, trashed)
    places = [served.root / "volumes" / name for _ in live] + [served.root / "trash" / volume.id for volume in trashed]
    for place in places:
        descriptor = json.loads((place / "volume.json").read_text())
        assert descriptor["name"] == name
        assert (place / "_data").is_dir()
    assert all(volume.health == "ok" for volume in live)
    options = tuple(sorted(live[0].options.items())) if live else ()
    return Facts(bool(live), bool(trashed), claims, options)


def is_helpful(error: str, name: str) -> bool:
    """Return whether an error is one line that names the volume and says what to do."""
    return repr(name) in error and "\n" not in error and (";" in error or ": " in error)


def compare_with_disk(served: Served) -> None:
    """Check that the catalog equals the disk, and that no unfinished directory is left."""
    with served.client() as client:
        live = {volume.name for volume in client.volumes()}
        trashed = {volume.id for volume in client.trash()}
    assert {place.name for place in (served.root / "volumes").iterdir()} == live
    assert {place.name for place in (served.root / "trash").iterdir()} == trashed
    assert not list((served.root / "staging").glob("new-*"))
