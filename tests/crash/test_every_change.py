"""kill -9 at every line of every verb at which something would be left that was not before.

A child process runs one verb and is killed by SIGKILL before the nth line of pyvol that finds the disk changed, for
every n; then the next daemon starts on what is there. Between two such lines any death leaves the same. So each step of
create, remove, undelete, mount, unmount and emptying the trash is a fault point, and none has to be written into the
product.
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
from house import House
from pyvol.core.errors import NoSuchVolume
from pyvol.core.model.adoption import Asked, Kind
from pyvol.host.files import copy_tree

PACKAGE = str(Path(pyvol.__file__).parent)
Act = Callable[[House], object]


class Scene(NamedTuple):
    """A verb, what is there before it, and what may be there after it was cut off."""

    before: Act
    verb: Act
    check: Callable[[House], None]
    may_find: str = "nothing"
    """What the doctor may name until the verb is done again."""


def fill(house: House, name: str = "v", **options: str) -> None:
    """Create a volume with data in it."""
    house.volumes.create(name, options)
    (house.data(name) / "file").write_text("kept")


def fill_and_remove(house: House) -> None:
    """Have a volume in the trash."""
    fill(house)
    house.volumes.remove("v")


def fill_and_mount(house: House) -> None:
    """Have a volume that is mounted twice."""
    fill(house)
    house.volumes.mount("v", "id")
    house.volumes.mount("v", "id")


def lives(house: House, name: str = "v") -> bool:
    """Tell whether the volume is there."""
    try:
        house.volumes.get(name)
    except NoSuchVolume:
        return False
    return True


def whole_or_absent(house: House) -> None:
    """A creation: there and usable, or not there at all; and it can be done again either way."""
    if lives(house):
        assert Path(house.volumes.mount("v", "id")).is_dir()
        assert house.descriptor("v")["name"] == "v"
    house.volumes.create("v", {"mode": "0700"})
    assert house.data("v").stat().st_mode & 0o777 == 0o700


def live_or_in_the_trash(house: House) -> None:
    """A removal or an undelete: the data is in one of the two places, and never in none."""
    if not lives(house):
        house.trash.undelete("v")
    assert (house.data("v") / "file").read_text() == "kept"
    assert house.trash.all() == []
    house.volumes.remove("v")
    assert len(house.trash.all()) == 1


def live_or_gone(house: House) -> None:
    """A removal for good: the data is whole, or there is nothing left of it."""
    if lives(house):
        assert (house.data("v") / "file").read_text() == "kept"
        house.volumes.remove("v")
    house.reap()
    assert list((house.root / "pool/staging").iterdir()) == []
    assert house.trash.all() == []


def trashed_or_gone(house: House) -> None:
    """Emptying: the data can be undeleted, or there is nothing left of it."""
    if house.trash.all():
        house.trash.undelete("v")
        live_or_in_the_trash(house)
        house.trash.empty()
    live_or_gone(house)


def counted(*allowed: int) -> Callable[[House], None]:
    """A Mount or an Unmount: the claim before it or the claim after it."""

    def check(house: House) -> None:
        assert sum(claim.count for claim, _ in house.volume_status.claims()) in allowed
        assert (house.data("v") / "file").read_text() == "kept"

    return check


def changed_or_not(house: House) -> None:
    """A change of options: the old or the new ones are in force, the volume works, and doing it again settles all."""
    volume = house.volumes.get("v")
    assert (volume.spec.mode, volume.labels) in {(None, ()), (0o700, (("k", "x"),))}
    house.volumes.mount("v", "id")
    change(house)
    assert house.descriptor("v")["labels"] == {"k": "x"}
    assert all(finding.well for finding in house.doctor.examine())


def change(house: House) -> None:
    """Change an option and a label."""
    house.volumes.change("v", {"mode": "0700"}, {"k": "x"})


def old_or_new_name(house: House) -> None:
    """A renaming: the volume has one of the two names, its data and its id, and can be renamed again."""
    (volume,) = house.volumes.all()
    assert volume.name in {"v", "w"}
    assert house.descriptor(volume.name)["name"] == volume.name
    assert (house.data(volume.name) / "file").read_text() == "kept"
    house.renaming.rename(volume, "w")
    with pytest.raises(NoSuchVolume, match="is 'w' now"):
        house.volumes.get("v")


def rename(house: House) -> None:
    """Give the volume another name."""
    house.renaming.rename(house.volumes.get("v"), "w")


def leave_to_the_engine(house: House) -> None:
    """Have the directory of a volume of the engine's own driver."""
    data = house.root / "volumes/v/_data"
    data.mkdir(parents=True)
    (data / "file").write_text("kept")


def adopt(house: House) -> None:
    """Take it in by a rename; what this machine has mounted is left out, for it is hundreds of lines to read."""
    house.intake._mounts.read = lambda pid: []  # type: ignore[method-assign]  # noqa: ARG005  # its name is part of the type
    house.adopting.adopt(Asked("v", Kind.ENGINE, {}, str(house.root / "volumes/v/_data")))


def adopt_copy(house: House) -> None:
    """Take it in by a copy, as from another file system; in the child that is killed."""
    copy_tree.on_one_mount = lambda *_: False
    adopt(house)


def adopted_or_not(house: House) -> None:
    """An adoption: the volume is whole, or the directory is as it was and can be adopted."""
    if not lives(house):
        assert (house.root / "volumes/v/_data/file").read_text() == "kept"
        adopt(house)
    assert (house.data("v") / "file").read_text() == "kept"
    assert list((house.root / "pool/staging").iterdir()) == []


def empty_and_reap(house: House) -> None:
    """Empty the trash, and delete what was in it."""
    house.trash.empty()
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
    "set": Scene(fill, change, changed_or_not, "descriptors"),
}


@pytest.mark.parametrize("name", SCENES)
def test_killed_after_every_change(scratch: Path, name: str) -> None:
    """Killed at any line of it, a verb leaves each volume whole or cleanly absent (promise 2)."""
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
        unwell = [finding.check for finding in survivor.doctor.examine() if not finding.well]
        assert [check for check in unwell if scene.may_find not in check] == [], f"change {change}"
        scene.check(survivor)
        survivor.close()
        shutil.rmtree(copy)
    assert change > 2


def run_and_kill(root: Path, verb: Act, change: int) -> bool:
    """Run a verb in a child that is killed after its nth change; tell whether it came to the verb's end."""
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
    """Return a trace function that counts the lines of pyvol that find a change, and kills at the nth."""
    left = change
    before: object = None

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left, before
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            # What a process of ours is at changes while we look; each line is a change then.
            now = None if has_children() else legacy(root)
            left -= now is None or now != before
            before = now
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def legacy(root: Path) -> list[tuple[object, ...]]:
    """Return what a death would leave: each name below a directory, with all that can be read of it."""
    paths = [f"{above}/{name}" for above, *names in os.walk(root) for name in itertools.chain(*names)]
    return [
        (path, found.st_ino, found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_ctime_ns, content)
        for path in paths
        for found in [os.lstat(path)]
        for content in [Path(path).read_bytes() if stat.S_ISREG(found.st_mode) else b""]
    ]


def has_children() -> bool:
    """Tell whether a process of ours runs, or has ended and is not known to have."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
