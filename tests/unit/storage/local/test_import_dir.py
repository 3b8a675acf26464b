"""Files on their way into a pool: what is renamed and what is copied, and that nothing else comes in their place."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from adoptable import asked, copied, directory, of_engine
from deadline import await_true
from house import House
from pyvol.core.errors import StorageFailed, VolumeInUse
from pyvol.core.model.adoption import AdoptMethod, Kind
from pyvol.core.model.volume import Space
from pyvol.host.files import copy_tree, directories, disk_usage
from pyvol.host.files.pinned_directory import PinnedDirectory
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.local import import_dir


def test_what_is_on_another_file_system_is_copied(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, modes and times; the source of --path stays, that of an engine's volume is put aside."""
    copied(monkeypatch)
    path = directory(home)
    os.utime(path, (1, 1))
    assert home.adopting.adopt(asked(path)).how is AdoptMethod.COPY
    assert (path / "sub/file").read_text() == (home.data("v") / "sub/file").read_text() == "kept"
    assert home.data("v").stat().st_mode & 0o7777 == 0o2750
    assert home.data("v").stat().st_mtime == 1
    theirs = of_engine(home)
    assert home.adopting.adopt(asked(theirs, "w", Kind.ENGINE)).how is AdoptMethod.COPY
    assert (home.data("w") / "sub/file").read_text() == "kept"
    assert [path.name for path in theirs.parent.iterdir()] == ["_data.adopted"]
    assert home.adopting.copies == []


def test_a_rename_that_the_kernel_refuses_becomes_a_copy(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotas and subvolumes can refuse what looks like one file system (EXDEV)."""

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    with monkeypatch.context() as patch:
        patch.setattr(home.intake, "rename", lambda *_: False)
        assert home.adopting.adopt(asked(directory(home))).how is AdoptMethod.COPY
    path = directory(home, "other")
    volume = home.volumes.get("v")
    with monkeypatch.context() as patch:
        patch.setattr(PinnedDirectory, "move", refuse)
        assert not home.intake.rename(volume, str(path))
    assert list((home.root / "pool/staging").iterdir()) == []


def test_a_copy_that_fails_leaves_all_as_it_was(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cp said is told; no half copy stays, and the name is free."""
    copied(monkeypatch)
    path = directory(home)
    monkeypatch.setattr(copy_tree, "COPY", (*copy_tree.COPY[:-1], "--no-such-flag", "--"))
    with pytest.raises(StorageFailed, match=r"'v'.*stay where they are: cp: unrecognized option"):
        home.adopting.adopt(asked(path))
    assert list((home.root / "pool/staging").iterdir()) == []
    assert (path / "sub/file").read_text() == "kept"
    home.adopting.end()
    with pytest.raises(StorageFailed, match="pyvol is stopping"):
        home.adopting.adopt(asked(path))


def test_a_container_that_came_while_it_was_copied_keeps_its_files(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has written meanwhile would not be in the copy: that is thrown away."""
    copied(monkeypatch)
    path = directory(home)
    monkeypatch.setattr(home.intake._counts, "count", lambda *_: (home.kernel.run(str(path)), 0, ""))
    with pytest.raises(VolumeInUse, match=r"'v' is not adopted: sleep \(pid"):
        home.adopting.adopt(asked(path))
    assert list((home.root / "pool/staging").iterdir()) == []
    assert home.volumes.all() == []


def replace(directory: Path, other: Path) -> None:
    """Put a symlink to another directory in the place of one, as who may write above it can."""
    directory.rename(directory.with_name("away"))
    directory.symlink_to(other)


@pytest.fixture
def trap(home: House) -> Path:
    """A directory above one to adopt, `mine/old`, and what nobody asked for, where a symlink in its place leads."""
    directory(home, "mine/old")
    secret = directory(home, "secret/old")
    (secret / "sub/file").write_text("secret")
    return home.root / "mine"


def taken(house: House, path: Path) -> str:
    """What the volume has after an adoption of a path; empty where that was refused."""
    try:
        house.adopting.adopt(asked(path))
    except StorageFailed as error:
        return "" if "'v' is not adopted: something else was put in the place of" in str(error) else str(error)
    return (house.data("v") / "sub/file").read_text()


@pytest.mark.parametrize("is_copy", [False, True])
def test_a_symlink_put_above_it_after_the_check_is_not_followed(
    home: House, trap: Path, monkeypatch: pytest.MonkeyPatch, *, is_copy: bool
) -> None:
    """Neither by a rename nor by a copy: what was checked is what is taken, or nothing."""
    if is_copy:
        copied(monkeypatch)
    check = home.intake.way

    def swap(*words: str) -> AdoptMethod:
        try:
            return check(*words)
        finally:
            replace(trap, home.root / "secret")

    monkeypatch.setattr(home.intake, "way", swap)
    assert taken(home, trap / "old") == ""
    assert list((home.root / "pool/staging").iterdir()) == []
    assert (home.root / "secret/old/sub/file").read_text() == "secret"


@pytest.mark.parametrize(("below", "is_copy"), [("", False), ("", True), ("old", False)])
def test_what_is_swapped_as_it_is_taken_is_not_taken(
    home: House, trap: Path, monkeypatch: pytest.MonkeyPatch, below: str, *, is_copy: bool
) -> None:
    """The directory that was opened is, wherever it is by then; what has its name now is put back."""
    if is_copy:
        copied(monkeypatch)
    describe: Callable[..., None] = import_dir._describe

    def swap(*words: object) -> None:
        describe(*words)
        replace(trap / below, home.root / "secret" / below)

    monkeypatch.setattr(import_dir, "_describe", swap)
    assert taken(home, trap / "old") == ("" if below else "kept")
    assert list((home.root / "pool/staging").iterdir()) == []
    assert (home.root / "secret/old/sub/file").read_text() == "secret"
    assert (trap / below).is_symlink()


def swap_back(top: Path) -> None:
    """Have another directory in the place of one for a while."""
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
    """A file, a name, or a directory that was another for a while: the kernel has stamped it, or what it is in."""
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


def test_a_copy_for_which_there_is_no_room_is_not_begun(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both numbers are told; where source and pool are on one disk, blocks may be shared, and cp finds out."""
    copied(monkeypatch)
    path = directory(home)
    monkeypatch.setattr(home.intake._counts, "count", lambda *_: (3 << 30, 0, ""))
    with monkeypatch.context() as patch:
        patch.setattr(directories, "space", lambda _: Space(4 << 30, 1 << 30))
        patch.setattr(KernelMounts, "device", lambda _, path: path)
        with pytest.raises(StorageFailed, match=r"its files take 3\.0 GiB, and pool 'default' has 1\.0 GiB free"):
            home.adopting.adopt(asked(path))
    assert list((home.root / "pool/staging").iterdir()) == []
    with monkeypatch.context() as patch:
        patch.setattr(directories, "space", lambda _: Space(4 << 30, 1 << 30))
        home.adopting.adopt(asked(path))


def test_a_count_is_given_up_with_the_copy(home: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that stops waits for no count of a million files, and begins none."""
    copied(monkeypatch)
    monkeypatch.setattr(disk_usage, "PROGRAM", tmp_path / "endless.py")
    (tmp_path / "endless.py").write_text(f"open({str(tmp_path / 'begun')!r}, 'x')\nwhile input():\n    pass\n")
    path = directory(home)
    told: list[str] = []

    def adopt() -> None:
        try:
            home.adopting.adopt(asked(path))
        except StorageFailed as error:
            told.append(str(error))

    thread = threading.Thread(target=adopt)
    thread.start()
    await_true((tmp_path / "begun").exists, "the count")
    home.adopting.end()
    thread.join(disk_usage.SILENCE_S / 2)
    adopt()
    assert told == ["volume 'v': its files could not be copied, and stay where they are: pyvol is stopping"] * 2


def test_an_engine_s_directory_that_cannot_be_put_aside_is_told_of(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The volume is whole by then: a line in the log, no error."""
    copied(monkeypatch)
    theirs = of_engine(home)
    (theirs.parent / "_data.adopted").mkdir()
    (theirs.parent / "_data.adopted/x").touch()
    home.adopting.adopt(asked(theirs, kind=Kind.ENGINE))
    assert "what was copied stays under its name" in home.log.events
    assert (home.data("v") / "sub/file").read_text() == "kept"


def test_something_mounted_in_it_is_left_alone(home: House) -> None:
    """A rename would take another file system along, and a copy would copy it."""
    with pytest.raises(StorageFailed, match="something is mounted in it, at /dev/"):
        home.intake.way("/dev", "default")
