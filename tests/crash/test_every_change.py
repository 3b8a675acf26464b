"""kill -9 at every line of every verb before which the disk has changed.

A child process runs one verb. SIGKILL ends it before the nth line of pyvol that finds the disk changed, for
every n. Then the next daemon starts with the files that are left. Between two such lines any death leaves the
same files. So each step of create, remove, undelete, mount, unmount and emptying the trash is a fault point,
and none has to be written into the product.
"""

import itertools
import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

import pyvol
from adoptable import on_another_file_system
from house import House
from pyvol.core.errors import NoSuchVolume
from pyvol.core.model.adoption import Asked, Kind

PACKAGE = str(Path(pyvol.__file__).parent)
Act = Callable[[House], object]


class Scene(NamedTuple):
    """A verb, the state before it, and a check of the state after its interruption."""

    before: Act
    verb: Act
    check: Callable[[House], None]
    may_find: str = "nothing"
    """The check of the doctor that may find a problem until the verb is repeated."""


def fill(house: House, name: str = "v", **options: str) -> None:
    """Create a volume with data in it."""
    house.volumes.create(name, options)
    (house.data(name) / "file").write_text("kept")


def fill_and_remove(house: House) -> None:
    """Put a volume into the trash."""
    fill(house)
    house.volumes.remove("v")


def fill_and_mount(house: House) -> None:
    """Create a volume that is mounted twice."""
    fill(house)
    house.volumes.mount("v", "id")
    house.volumes.mount("v", "id")


def exists(house: House, name: str = "v") -> bool:
    """Return whether the volume exists."""
    try:
        house.volumes.get(name)
    except NoSuchVolume:
        return False
    return True


def whole_or_absent(house: House) -> None:
    """Check a creation: the volume is usable or does not exist, and it can be created again in both cases."""
    if exists(house):
        assert Path(house.volumes.mount("v", "id")).is_dir()
        assert house.manifest("v")["name"] == "v"
    house.volumes.create("v", {"mode": "0700"})
    assert house.data("v").stat().st_mode & 0o777 == 0o700


def live_or_in_the_trash(house: House) -> None:
    """Check a removal or an undelete: the data is in the volume or in the trash."""
    if not exists(house):
        house.trash.undelete("v")
    assert (house.data("v") / "file").read_text() == "kept"
    assert house.trash.all() == []
    house.volumes.remove("v")
    assert len(house.trash.all()) == 1


def live_or_gone(house: House) -> None:
    """Check a deletion: the data is whole, or all of it is gone."""
    if exists(house):
        assert (house.data("v") / "file").read_text() == "kept"
        house.volumes.remove("v")
    house.reap()
    assert list((house.root / "pool/staging").iterdir()) == []
    assert house.trash.all() == []


def trashed_or_gone(house: House) -> None:
    """Check an emptied trash: the data can be undeleted, or all of it is gone."""
    if house.trash.all():
        house.trash.undelete("v")
        live_or_in_the_trash(house)
        house.empty()
    live_or_gone(house)


def counted(*allowed: int) -> Callable[[House], None]:
    """Check a Mount or an Unmount: the claim has the count before it or the count after it."""

    def check(house: House) -> None:
        assert sum(claim.count for claim, _ in house.volume_status.claims()) in allowed
        assert (house.data("v") / "file").read_text() == "kept"

    return check


def changed_or_not(house: House) -> None:
    """Check a change of options: old or new ones apply, the volume works, and the change can be repeated."""
    volume = house.volumes.get("v")
    assert (volume.spec.mode, volume.labels) in {(None, ()), (0o700, (("k", "x"),))}
    house.volumes.mount("v", "id")
    change(house)
    assert house.manifest("v")["labels"] == {"k": "x"}
    assert all(finding.well for finding in house.doctor.examine())


def change(house: House) -> None:
    """Change an option and a label."""
    house.volumes.change("v", {"mode": "0700"}, {"k": "x"})


def old_or_new_name(house: House) -> None:
    """Check a renaming: the volume has one of the names, with data and id, and can be renamed again."""
    (volume,) = house.volumes.all()
    assert volume.name in {"v", "w"}
    assert house.manifest(volume.name)["name"] == volume.name
    assert (house.data(volume.name) / "file").read_text() == "kept"
    house.renaming.rename(volume, "w")
    with pytest.raises(NoSuchVolume, match="is 'w' now"):
        house.volumes.get("v")


def rename(house: House) -> None:
    """Rename the volume."""
    house.renaming.rename(house.volumes.get("v"), "w")


def leave_to_the_engine(house: House) -> None:
    """Create the directory of a volume of the engine's local driver."""
    data = house.root / "volumes/v/_data"
    data.mkdir(parents=True)
    (data / "file").write_text("kept")


def adopt(house: House) -> None:
    """Adopt it by a rename."""
    house.adopt(Asked("v", Kind.ENGINE, {}, str(house.root / "volumes/v/_data")))


def adopt_copy(house: House) -> None:
    """Adopt it by a copy, as from another file system; in the child that is killed."""
    on_another_file_system(house)
    adopt(house)


def adopted_or_not(house: House) -> None:
    """Check an adoption: the volume is whole, or its directory is unchanged and can be adopted."""
    if not exists(house):
        assert (house.root / "volumes/v/_data/file").read_text() == "kept"
        adopt(house)
    assert (house.data("v") / "file").read_text() == "kept"
    assert list((house.root / "pool/staging").iterdir()) == []


def empty_and_reap(house: House) -> None:
    """Empty the trash, and delete what was in it."""
    house.empty()
    house.reap()


SCENES = {
    "create": Scene(lambda _: None, lambda house: house.volumes.create("v", {"mode": "0700"}), whole_or_absent),
    "remove": Scene(fill, lambda house: house.volumes.remove("v"), live_or_in_the_trash),
    "remove-for-good": Scene(
        lambda house: fill(house, on_remove="delete"), lambda house: house.volumes.remove("v"), live_or_gone
    ),
    "undelete": Scene(fill_and_remove, lambda house: house.trash.undelete("v"), live_or_in_the_trash),
    "mount": Scene(fill, lambda house: house.volumes.mount("v", "id"), counted(0, 1)),
    "unmount": Scene(fill_and_mount, lambda house: house.volumes.unmount("v", "id"), counted(1, 2)),
    "empty-trash": Scene(fill_and_remove, empty_and_reap, trashed_or_gone),
    "rename": Scene(fill, rename, old_or_new_name),
    "adopt": Scene(leave_to_the_engine, adopt, adopted_or_not),
    "adopt-copy": Scene(leave_to_the_engine, adopt_copy, adopted_or_not),
    "set": Scene(fill, change, changed_or_not, "manifests"),
}


@pytest.mark.parametrize("name", SCENES)
def test_killed_after_every_change(scratch: Path, name: str) -> None:
    """A verb that is killed at any line leaves each volume whole or cleanly absent (promise 2)."""
    scene = SCENES[name]
    origin = scratch / "origin"
    origin.mkdir()
    house = House(origin)
    scene.before(house)
    house.close()
    change = 0
    ended = False
    while not ended:
        change += 1
        copy = scratch / f"change-{change}"
        shutil.copytree(origin, copy)
        ended = run_and_kill(copy, scene.verb, change)
        survivor = House(copy)
        survivor.reap()  # as the daemon does when it starts
        problems = [finding.check for finding in survivor.doctor.examine() if not finding.well]
        assert [check for check in problems if scene.may_find not in check] == [], f"change {change}"
        scene.check(survivor)
        survivor.close()
        shutil.rmtree(copy)
    assert change > 2


def run_and_kill(root: Path, verb: Act, change: int) -> bool:
    """Run a verb in a child that is killed after its nth change; return whether the verb ended first."""
    child = os.fork()
    if child == 0:
        try:
            house = House(root)
            sys.settrace(killer(root, change))
            verb(house)
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def killer(root: Path, change: int) -> Callable[[FrameType, str, Any], Any]:
    """Return a trace function that counts the lines that find a change, and kills at the nth."""
    left = change
    before: object = None

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left, before
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            # A running child process may change files during the comparison: then each line counts as a
            # change.
            now = None if has_children() else legacy(root)
            left -= now is None or now != before
            before = now
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def legacy(root: Path) -> list[tuple[object, ...]]:
    """Return what a death would leave: each name below a directory, with all that can be read about it."""
    paths = [f"{above}/{name}" for above, *names in os.walk(root) for name in itertools.chain(*names)]
    return [
        (path, found.st_ino, found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_ctime_ns, content)
        for path in paths
        for found in [os.lstat(path)]
        for content in [Path(path).read_bytes() if stat.S_ISREG(found.st_mode) else b""]
    ]


def has_children() -> bool:
    """Return whether a child process runs, or has ended and was not waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
