"""Disks that are full or fail, and what stays as it was then."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from pyvol.core.concurrency.task import Task
from pyvol.host.files import copy_tree, directories, durable
from pyvol.host.files.pinned_directory import PinnedDirectory, Replaced


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system with nothing in it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def fill(disk: Path) -> None:
    """Leave no free block."""
    with (disk / "fill").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def fail_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each fsync(2) fail."""

    def fsync(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_removal_needs_no_room(disk: Path) -> None:
    """The directory moves without its note, because the catalog has the same content."""
    (disk / "a/x").mkdir(parents=True)
    (disk / "b").mkdir()
    fill(disk)
    durable.move_with_note(f"{disk}/a/x", f"{disk}/b/y", "note", b"why")
    assert list((disk / "b/y").iterdir()) == []


def test_a_note_that_fails_for_another_reason_is_an_error(tmp_path: Path) -> None:
    """Nothing is moved."""
    with pytest.raises(FileNotFoundError):
        durable.move_with_note(f"{tmp_path}/missing", f"{tmp_path}/y", "note", b"why")


def test_a_reservation_on_a_full_disk_fails(disk: Path) -> None:
    """A file that has its room can grow later, and keeps its size until then."""
    durable.reserve(f"{disk}/file", 8192)
    assert (disk / "file").stat().st_size == 0
    fill(disk)
    with pytest.raises(OSError, match="No space"):
        durable.reserve(f"{disk}/other", 8192)


def test_a_move_that_cannot_be_made_durable_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the answer and the disk agree; the undo itself does not depend on the disk."""
    (tmp_path / "a/x").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    source, target = f"{tmp_path}/a/x", f"{tmp_path}/b/x"
    with monkeypatch.context() as patch:
        fail_fsync(patch)
        for move in (partial(durable.move, source, target), partial(durable.move_all, [(source, target)])):
            with pytest.raises(OSError, match="Input/output"):
                move()
            assert Path(source).is_dir()
        with PinnedDirectory(source) as pinned:
            with pytest.raises(OSError, match="Input/output"):
                pinned.move(target)
            assert Path(source).is_dir()
        Path(source).rename(target)
        durable.move_back(source, target)
        assert Path(source).is_dir()
        with PinnedDirectory(source) as pinned:
            Path(source).rename(target)
            pinned.move_back(target)
        assert Path(source).is_dir()
    durable.move_all([])


def test_a_directory_that_was_replaced_is_not_moved(tmp_path: Path) -> None:
    """The check was about another directory, which keeps its place."""
    (tmp_path / "a").mkdir()
    with PinnedDirectory(f"{tmp_path}/a") as pinned:
        (tmp_path / "a").rename(tmp_path / "aside")
        (tmp_path / "a").mkdir()
        with pytest.raises(Replaced):
            pinned.move(f"{tmp_path}/b")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "aside"]


def test_missing_directories_are_made_and_others_kept(tmp_path: Path) -> None:
    """The last one has the given mode, new ones above it let others pass, existing ones do not change."""
    tmp_path.chmod(0o700)
    directories.make(f"{tmp_path}/a/b", 0o711)
    directories.make(f"{tmp_path}/a/b", 0o755)
    assert [place.stat().st_mode & 0o777 for place in (tmp_path, tmp_path / "a", tmp_path / "a/b")] == [
        *(0o700, 0o755, 0o711)
    ]
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        directories.make(f"{tmp_path}/file")


def test_only_directories_are_listed(tmp_path: Path) -> None:
    """Neither files nor symlinks; a name that is not UTF-8 is escaped."""
    for name in (b"v", b"\xff"):
        (tmp_path / os.fsdecode(name)).mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("v")
    assert sorted(directories.names(str(tmp_path))) == ["\\udcff", "v"]


def test_what_the_server_says_of_a_directory_is_asked_for(tmp_path: Path) -> None:
    """A directory that is missing is an error, and so is a symlink."""
    directories.revalidate(str(tmp_path))
    (tmp_path / "link").symlink_to("/")
    with pytest.raises(FileNotFoundError):
        directories.revalidate(f"{tmp_path}/missing")
    with pytest.raises(OSError, match="symbolic links"):
        directories.revalidate(f"{tmp_path}/link")


def test_a_rename_stays_on_one_mount(disk: Path) -> None:
    """Two mounts of one file system count as two: rename(2) refuses that."""
    for name in ("a", "b"):
        (disk / name).mkdir()
    assert copy_tree.on_one_mount(f"{disk}/a", f"{disk}/b")
    assert not copy_tree.on_one_mount(f"{disk}/a", "/")


def test_a_copy_reports_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While cp runs, the caller gets how many bytes it has written."""
    program = tmp_path / "bin/cp"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n/bin/cp "$@" && sleep 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    (tmp_path / "from").mkdir()
    (tmp_path / "from/file").write_text("kept")
    written: list[int] = []
    with PinnedDirectory(f"{tmp_path}/from") as pinned:
        assert copy_tree.copy(pinned.descriptor, f"{tmp_path}/to", Task(), written.append) == ""
    assert written == sorted(written) != []
    assert (tmp_path / "to/file").read_text() == "kept"
