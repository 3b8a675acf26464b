"""Promise 2 with the hardest fault: the power fails during work, repeatedly, on the same disks."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .uml import Guest, GuestDied, make_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.guest

PYTHONPATH = {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
CUTS = 3
SEED = 20260131
LONGEST_AFTERMATH_S = 0.06
"""The longest time from the last acknowledged operation to the cut: about two operations of a guest."""


@dataclasses.dataclass
class Volume:
    """The acknowledged state of one volume."""

    options: dict[str, str]
    mark: str = ""


@dataclasses.dataclass
class Ledger:
    """What was acknowledged before the cut: the model to compare with the disk."""

    live: dict[str, Volume] = dataclasses.field(default_factory=dict)
    removed: dict[str, Volume] = dataclasses.field(default_factory=dict)
    claims: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)

    def book(self, operation: dict[str, Any]) -> None:
        """Apply one operation to the model."""
        name = operation["name"]
        claim = (name, operation.get("mount_id", ""))
        match operation["verb"]:
            case "create":
                self.live[name] = Volume(operation["options"])
            case "mark":
                self.live[name].mark = operation["mark"]
            case "mount":
                self.claims[claim] = self.claims.get(claim, 0) + 1
            case "unmount":
                self.claims[claim] -= 1
            case "remove":
                self.removed[name] = self.live.pop(name)
                self.claims = {key: count for key, count in self.claims.items() if key[0] != name}
            case "undelete":
                self.live[name] = self.removed.pop(name)

    def held(self) -> set[tuple[str, str, int]]:
        """Return the current claims."""
        return {(name, mount_id, count) for (name, mount_id), count in self.claims.items() if count}


@dataclasses.dataclass
class Cut:
    """One power cut: the acknowledged state, and the state if the operation in progress took effect."""

    acknowledged: Ledger
    possible: Ledger
    in_progress: dict[str, Any] | None


def work_until_cut(guest: Guest, lines: Iterator[str], ledger: Ledger, rng: random.Random) -> Cut:
    """Let the guest work, cut its power at a random moment, and apply the operations that it acknowledged."""
    wanted = rng.randint(20, 90)
    in_progress: dict[str, Any] | None = None
    acknowledged = 0

    def book(text: str) -> None:
        nonlocal in_progress, acknowledged
        line = json.loads(text)
        if "try" in line:
            in_progress = line["try"]
        else:
            assert in_progress is not None
            ledger.book(in_progress | {"verb": line["done"]})
            acknowledged += 1
            # The test marks a volume after its creation; from then on the mark is the operation in progress.
            in_progress = in_progress | {"verb": "mark"} if line["done"] == "create" else None

    for text in lines:
        book(text)
        if acknowledged >= wanted:
            break
    time.sleep(rng.uniform(0, LONGEST_AFTERMATH_S))
    guest.cut_power()
    with contextlib.suppress(GuestDied):
        for text in lines:
            book(text)
    possible = copy.deepcopy(ledger)
    if in_progress is not None:
        possible.book(in_progress)
    return Cut(ledger, possible, in_progress)


def settle(cut: Cut, survey: dict[str, Any]) -> Ledger:
    """Compare the state after the cut with the acknowledged state, and return the true state."""
    known, disk = survey["known"], survey["directories"]
    live = {volume["name"]: volume for volume in known["volumes"]}
    removed = {volume["name"]: volume for volume in known["trash"]}
    assert len(removed) == len(known["trash"]), "two volumes of one name in the trash"

    truth = cut.possible if is_done(cut, set(live), set(removed)) else cut.acknowledged
    assert live.keys() == truth.live.keys()
    assert removed.keys() == truth.removed.keys()

    # The catalog equals the disk, and no unfinished directory is left.
    places = {name: f"volumes/{name}" for name in live} | {name: f"trash/{removed[name]['id']}" for name in removed}
    assert set(disk) == set(places.values())

    for name, volume in (truth.live | truth.removed).items():
        found = disk[places[name]]
        descriptor = json.loads(found["volume.json"])
        assert descriptor["name"] == name
        assert descriptor["id"] == (live.get(name) or removed[name])["id"]
        assert name in live or "removed.json" in found
        assert found["_data"] != "missing", name
        if name in live:
            assert live[name]["options"] == volume.options
            assert live[name]["health"] == "ok"
        marking = cut.in_progress is not None and cut.in_progress["verb"] in {"create", "mark"}
        if not (marking and cut.in_progress and cut.in_progress["name"] == name):
            assert found["_data/mark"] == volume.mark
    return truth


def is_done(cut: Cut, live: set[str], removed: set[str]) -> bool:
    """Return whether the operation in progress took effect, judging by the volumes' names."""
    return (live, removed) == (set(cut.possible.live), set(cut.possible.removed))


def check_claims(cut: Cut, survey: dict[str, Any]) -> None:
    """Check that all claims were on the disk, and that the boot dropped them, as no container survives."""
    found = {(name, mount_id, count) for name, mount_id, count in survey["before"]["rows"]["claims"]}
    wanted = (cut.acknowledged.held(), cut.possible.held())
    assert found in wanted, f"{cut.in_progress} was in progress: {[sorted(found ^ held) for held in wanted]}"
    assert survey["known"]["claims"] == []
    if found:
        assert f"{len(found)} claims of an earlier boot dropped" in survey["log"]


def check_log(survey: dict[str, Any]) -> None:
    """Check that the log names each difference between the disk and the catalog, and no other volume."""
    directories = survey["before"]["directories"]
    staged = {place for place in directories if place.startswith("staging/")}
    names = {place: {place.split("/")[1]} for place in directories.keys() - staged}
    said_by_catalog = {}
    for id_, name, phase in survey["before"]["rows"]["volumes"]:
        said_by_catalog[f"trash/{id_}" if phase == "trashed" else f"volumes/{name}"] = {id_, name}
    words = set(survey["log"].replace("=", " ").split())
    for place in said_by_catalog.keys() ^ names.keys():
        known_as = said_by_catalog.get(place) or names[place]
        assert known_as & words, f"{place}: repaired without a message in the log\n{survey['log']}"
    assert ("unfinished" in survey["log"]) == any(place.startswith("staging/new-") for place in staged)


@pytest.mark.parametrize("layout", ["one disk", "two disks"])
def test_acknowledged_work_survives_power_cuts(layout: str, tmp_path: Path) -> None:
    """After a power cut acknowledged work is there, and work in progress is whole or absent (promise 2)."""
    # On a separate disk the catalog's fsync doesn't also write the pool's journal, which would hide a missing
    # fsync.
    disks = [make_disk(tmp_path / f"disk{number}", 64) for number in range(1 if layout == "one disk" else 2)]
    rng = random.Random(f"{SEED} {layout}")
    ledger = Ledger()
    cut = Cut(ledger, ledger, None)
    for boot in range(CUTS + 1):
        with Guest(disks=disks) as guest:
            for number, device in enumerate(("ubda", "ubdb")[: len(disks)]):
                # commit=300: the file system does not write by itself what is not synced.
                mountpoint = f"/srv/{number}"
                guest.run("sh", "-c", f"mkdir -p {mountpoint} && mount -o commit=300 /dev/{device} {mountpoint}")
            root, state = "/srv/0/pool", f"/srv/{len(disks) - 1}/state"
            seed = str(rng.getrandbits(32))
            lines = guest.lines(sys.executable, "-m", "guest.workload", root, state, seed, env=PYTHONPATH)
            survey = json.loads(next(lines))["survey"]
            ledger = settle(cut, survey)
            check_claims(cut, survey)
            check_log(survey)
            ledger.claims.clear()
            if boot < CUTS:
                cut = work_until_cut(guest, lines, ledger, rng)
    assert ledger.live, "the work left nothing to check"
