"""Importing files into a pool: by a rename or by a copy, and without files that replaced them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from adoptable import asked, directory, of_engine, on_another_file_system
from house import House
from pyvol.core.concurrency.task import Task
from pyvol.core.errors import StorageFailed, VolumeInUse
from pyvol.core.model.adoption import AdoptMethod, Kind
from pyvol.core.model.volume import Phase, Volume, VolumeSpec
from pyvol.host.files import copy_tree
from pyvol.host.files.pinned_directory import PinnedDirectory
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.local.import_dir import DirectoryImporter, Files


def test_what_is_on_another_file_system_is_copied(home: House) -> None:
    """Files, modes and times; the source of --path stays, and an engine's directory is renamed."""
    on_another_file_system(home)
    path = directory(home)
    os.utime(path, (1, 1))
    assert home.adopt(asked(path)).how is AdoptMethod.COPY
    assert (path / "sub/file").read_text() == (home.data("v") / "sub/file").read_text() == "kept"
    assert home.data("v").stat().st_mode & 0o7777 == 0o2750
    assert home.data("v").stat().st_mtime == 1
    theirs = of_engine(home)
    assert home.adopt(asked(theirs, "w", Kind.ENGINE)).how is AdoptMethod.COPY
    assert (home.data("w") / "sub/file").read_text() == "kept"
    assert [path.name for path in theirs.parent.iterdir()] == ["_data.adopted"]


class OtherSubvolume(PinnedDirectory):
    """A directory that the kernel does not move, although it is on the same file system."""

    def move(self, target: str) -> None:
        """See `PinnedDirectory`."""
        raise OSError(18, "Invalid cross-device link", target)


def test_a_rename_that_the_kernel_refuses_becomes_a_copy(home: House) -> None:
    """Quotas and subvolumes can refuse what looks like one file system (EXDEV)."""
    home.importer.files = Files(pin=OtherSubvolume)
    assert home.adopt(asked(directory(home))).how is AdoptMethod.COPY
    assert (home.data("v") / "sub/file").read_text() == "kept"
    assert list((home.root / "pool/staging").iterdir()) == []


def test_a_copy_that_fails_leaves_everything_as_it_was(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has what cp said; no half copy stays, and the name is free."""
    on_another_file_system(home)
    path = directory(home)
    program(home.root / "bin", "cp", "echo 'cp: the disk is broken' >&2; exit 1", monkeypatch)
    with pytest.raises(StorageFailed, match=r"'v'.*stay where they are: cp: the disk is broken"):
        home.adopt(asked(path))
    assert list((home.root / "pool/staging").iterdir()) == []
    assert (path / "sub/file").read_text() == "kept"
    assert home.volumes.all() == []


def program(place: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program of this name before the system's."""
    place.mkdir()
    (place / name).write_text(f"#!/bin/sh\n{script}\n")
    (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")


@pytest.mark.parametrize("step", ["measure", "copy", "sync"])
def test_a_copy_that_is_cancelled_leaves_everything_as_it_was(home: House, step: str) -> None:
    """At each step before the volume is published; the error has the reason, and the copy can be repeated."""
    task, path = Task(), directory(home)

    def measure(*_: object) -> tuple[int, int, str]:
        if step == "measure":
            task.cancel("it was cancelled")
            raise ChildProcessError(10, task.reason)
        return 0, 0, ""

    def copy(source: int, target: str, *_: object) -> str:
        error = copy_tree.copy(source, target, Task(), lambda _: None)
        task.cancel("it was cancelled")
        return task.reason if step == "copy" else error

    home.importer.files = Files(can_rename=lambda *_: False, measure=measure, copy=copy)
    plan = home.adopting.plan(asked(path))
    with pytest.raises(
        StorageFailed, match="cannot be copied into the pool, and its files stay where they are: it was cancelled"
    ):
        home.adopting.adopt(plan, {}, task)
    assert list((home.root / "pool/staging").iterdir()) == []
    assert home.volumes.all() == []
    home.importer.files = Files(can_rename=lambda *_: False)
    home.adopt(asked(path))
    assert (home.data("v") / "sub/file").read_text() == "kept"


def test_a_container_that_came_while_it_was_copied_keeps_its_files(home: House) -> None:
    """The copy may lack what the container wrote in the meantime, so it is deleted."""
    path = directory(home)
    home.importer.files = Files(can_rename=lambda *_: False, measure=lambda *_: (home.kernel.run(str(path)), 0, ""))
    with pytest.raises(VolumeInUse, match=r"'v' cannot be adopted: sleep \(pid"):
        home.adopt(asked(path))
    assert list((home.root / "pool/staging").iterdir()) == []
    assert home.volumes.all() == []


def replace(directory: Path, other: Path) -> None:
    """Replace a directory by a symlink to another one, as a user who may write above it can."""
    directory.rename(directory.with_name("away"))
    directory.symlink_to(other)


@pytest.fixture
def trap(home: House) -> Path:
    """A directory above one to adopt, `mine/old`, and a secret, to which a symlink in its place leads."""
    directory(home, "mine/old")
    secret = directory(home, "secret/old")
    (secret / "sub/file").write_text("secret")
    return home.root / "mine"


def taken(house: House, path: Path) -> str:
    """Return the adopted volume's data; empty if pyvol refused because the directory was replaced."""
    try:
        house.adopt(asked(path))
    except StorageFailed as error:
        return "" if "was replaced by another directory" in error.cause else str(error)
    return (house.data("v") / "sub/file").read_text()


@pytest.mark.parametrize("is_copy", [False, True])
def test_a_symlink_put_above_it_after_the_check_is_not_followed(home: House, trap: Path, *, is_copy: bool) -> None:
    """Neither by a rename nor by a copy: pyvol takes what it has checked, or nothing."""

    def swap(*_: str) -> bool:
        replace(trap, home.root / "secret")
        return not is_copy

    home.importer.files = Files(can_rename=swap)
    assert taken(home, trap / "old") == ""
    assert list((home.root / "pool/staging").iterdir()) == []
    assert (home.root / "secret/old/sub/file").read_text() == "secret"


@pytest.mark.parametrize(("below", "is_copy"), [("", False), ("", True), ("old", False)])
def test_what_is_swapped_while_it_is_taken_is_not_taken(home: House, trap: Path, below: str, *, is_copy: bool) -> None:
    """An adoption takes the directory that it opened, and puts another directory at its path back."""

    class Swapped(PinnedDirectory):
        """A directory whose place is taken by another one as soon as it is open."""

        def __init__(self, path: str) -> None:
            super().__init__(path)
            replace(trap / below, home.root / "secret" / below)

    home.importer.files = Files(pin=Swapped, can_rename=lambda *_: not is_copy)
    assert taken(home, trap / "old") == ("" if below else "kept")
    assert list((home.root / "pool/staging").iterdir()) == []
    assert (home.root / "secret/old/sub/file").read_text() == "secret"
    assert (trap / below).is_symlink()


def swap_back(top: Path) -> None:
    """Replace a directory by another one for a while."""
    replace(top / "a", top)
    (top / "a").unlink()
    (top / "away").rename(top / "a")


@pytest.mark.parametrize(
    "change",
    [
        lambda top: (top / "new").touch(),
        lambda top: (top / "a/b/file").write_text("late"),
        lambda top: (top / "file").unlink(),
        swap_back,
    ],
)
def test_what_is_changed_in_a_copy_is_found(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """A file, a name, or a directory that was replaced for a while is found by the kernel's time stamps."""
    top, mark, clock = tmp_path / "top", tmp_path / "mark", tmp_path / "clock"
    (top / "a/b").mkdir(parents=True)
    for file in (top / "file", top / "a/b/file", mark, clock):
        file.touch()
    with PinnedDirectory(str(top)) as held:
        assert copy_tree.find_changed(held.descriptor, str(mark)) is None
        while clock.stat().st_ctime_ns <= mark.stat().st_ctime_ns:  # the kernel's is coarse
            clock.touch()
        change(top)
        assert copy_tree.find_changed(held.descriptor, str(mark)) is not None


class OtherDisks(KernelMounts):
    """A host on which every directory is on its own disk."""

    def device(self, path: str) -> str:
        """See `KernelMounts`."""
        return path


def test_a_copy_that_has_no_room_is_not_begun(home: House) -> None:
    """The error has both numbers.

    If source and pool are on one disk, blocks may be shared, and cp has to try.
    """
    path = directory(home)
    home.importer.files = Files(can_rename=lambda *_: False, measure=lambda *_: (1 << 60, 0, ""))
    plan = home.adopting.plan(asked(path))
    apart = DirectoryImporter({"default": str(home.root / "pool")}, home.importer._paths, OtherDisks())
    apart.files = home.importer.files
    with pytest.raises(StorageFailed, match=r"its files take 1048576\.0 TiB, and pool 'default' has [0-9.]+ .iB free"):
        apart.copy(Volume("0" * 16, "v", VolumeSpec(), home.clock(), Phase.READY), plan.source, Task(), lambda: None)
    assert list((home.root / "pool/staging").iterdir()) == []
    home.adopt(asked(path))


def test_an_engine_s_directory_that_cannot_be_renamed_is_reported(home: House) -> None:
    """The volume is whole by then: the log has a line, and there is no error."""
    on_another_file_system(home)
    theirs = of_engine(home)
    (theirs.parent / "_data.adopted").mkdir()
    (theirs.parent / "_data.adopted/x").touch()
    home.adopt(asked(theirs, kind=Kind.ENGINE))
    assert "the copied directory keeps its name" in home.log.events
    assert (home.data("v") / "sub/file").read_text() == "kept"


def test_something_mounted_in_it_is_left_alone(home: House) -> None:
    """A rename would take another file system along, and a copy would copy it."""
    with pytest.raises(StorageFailed, match="something is mounted at /dev/"):
        home.importer.way("/dev", "default")
