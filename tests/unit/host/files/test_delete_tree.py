"""Delete trees that were made by containers."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyvol.host.files.delete_tree import delete_tree


def test_a_tree_is_deleted_and_the_targets_of_its_symlinks_are_not(tmp_path: Path) -> None:
    """Symlinks are unlinked, never followed: to files, to directories, to nowhere, to the tree itself."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").touch()
    (tree / "a/out").symlink_to(outside)
    (tree / "out").symlink_to(outside / "file")
    (tree / "a/loop").symlink_to(tree)
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "a/pipe")
    assert delete_tree(str(tree)) == []
    assert not tree.exists()
    assert (outside / "file").read_text() == "kept"


def test_a_missing_tree_is_a_success(tmp_path: Path) -> None:
    """A deletion that ended before a crash has nothing to do after it."""
    assert delete_tree(str(tmp_path / "nope")) == []


def test_a_symlink_instead_of_the_tree_stays(tmp_path: Path) -> None:
    """The root is not followed either."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (line,) = delete_tree(str(tmp_path / "link"))
    assert "link" in line
    assert (tmp_path / "real/file").exists()


def test_depth_costs_nothing(tmp_path: Path) -> None:
    """5,000 nested directories, deeper than any path or recursion, are deleted."""
    tree = tmp_path / "tree"
    tree.mkdir()
    start = Path.cwd()
    try:
        os.chdir(tree)
        for _ in range(5000):
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.chdir(start)
    assert delete_tree(str(tree)) == []
    assert not tree.exists()


def test_what_cannot_be_opened_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that fails stays and is reported; it is not tried forever."""
    tree = tmp_path / "tree"
    (tree / "bad/inner").mkdir(parents=True)
    (tree / "good").mkdir()
    real = os.open
    inode = (tree / "bad").stat().st_ino

    def failing(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = real(path, flags, mode, dir_fd=dir_fd)
        if os.fstat(descriptor).st_ino == inode:
            os.close(descriptor)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return descriptor

    monkeypatch.setattr(os, "open", failing)
    (line,) = delete_tree(str(tree))
    assert "Input/output error" in line
    monkeypatch.undo()
    assert delete_tree(str(tree)) == []


def test_a_deletion_continues_after_a_crash(tmp_path: Path) -> None:
    """Directories that an earlier run moved to the top do not block the next run."""
    tree = tmp_path / "tree"
    for number in range(1, 5):
        (tree / f".{number}/.{number}/x").mkdir(parents=True)
        (tree / f".{number}/file").touch()
    assert delete_tree(str(tree)) == []
    assert not tree.exists()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A tree with a bind mount of the same file system two levels down."""
    (tmp_path / "outside/dir").mkdir(parents=True)
    (tmp_path / "outside/file").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "a/b/mount").mkdir(parents=True)
    (tree / "mount").mkdir()
    for place in ("a/b/mount", "mount"):
        subprocess.run(["mount", "--bind", tmp_path / "outside", tree / place], check=True)
    yield tree
    subprocess.run(["umount", "-R", "-l", tmp_path / "tree/mount"], check=False)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split(" ")[4]
        if place.startswith(str(tmp_path)):
            subprocess.run(["umount", "-l", place], check=True)


def test_a_mount_is_never_crossed(mounted: Path) -> None:
    """A mountpoint and the files in it stay, and are reported; everything else is deleted (promise 6)."""
    (mounted / "a/file").touch()
    stayed = delete_tree(str(mounted))
    assert len(stayed) == 2
    assert all("something is mounted there" in line for line in stayed)
    assert (mounted.parent / "outside/file").read_text() == "kept"
    assert (mounted.parent / "outside/dir").is_dir()
    assert not (mounted / "a").exists()
