"""Writes that survive a power cut: strace(1) shows which fsync follows which change.

These tests check the order of the system calls; the tests of a real power cut are in tests/guest.
"""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyvol.host.files import durable


def calls(tmp_path: Path, code: str) -> list[str]:
    """Run code; return its renames and syncs, with the path of each descriptor."""
    log = tmp_path / "trace"
    subprocess.run(
        ["strace", "-y", "-e", "trace=fsync,rename,renameat,renameat2", "-o", log, sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
    )
    shown = []
    for line in log.read_text().splitlines():
        if match := re.match(r"fsync\(\d+<(.*)>\)", line):
            shown.append(f"fsync {Path(match[1]).relative_to(tmp_path)}")
        elif match := re.match(r'rename\w*\((?:AT_FDCWD\S*, )?"(.*?)", (?:AT_FDCWD\S*, )?"(.*?)"', line):
            shown.append(f"rename {match[1]} {match[2]}")
    return shown


def test_a_replaced_file_is_on_disk_before_it_has_its_name(tmp_path: Path) -> None:
    """First the content, then the name, then the directory with the name."""
    (tmp_path / "d").mkdir()
    code = "from pyvol.host.files import durable; durable.replace('d/f', b'new')"
    assert calls(tmp_path, code) == ["fsync d/f.new", "rename d/f.new d/f", "fsync d"]
    assert (tmp_path / "d/f").read_bytes() == b"new"


def test_a_move_syncs_the_target_directory(tmp_path: Path) -> None:
    """The rename is on disk when it returns."""
    (tmp_path / "a/x").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    code = "from pyvol.host.files import durable; durable.move('a/x', 'b/y')"
    assert calls(tmp_path, code) == ["rename a/x b/y", "fsync b"]


def test_many_moves_are_synced_once(tmp_path: Path) -> None:
    """All of them are undone if one fails."""
    for path in ("a/x", "a/y", "b"):
        (tmp_path / path).mkdir(parents=True)
    code = "from pyvol.host.files import durable; durable.move_all([('a/x', 'b/x'), ('a/y', 'b/y')])"
    assert calls(tmp_path, code) == ["rename a/x b/x", "rename a/y b/y", "fsync b"]
    with pytest.raises(FileNotFoundError):
        durable.move_all([(f"{tmp_path}/b/{name}", f"{tmp_path}/a/{name}") for name in ("x", "missing")])
    assert [path.name for path in (tmp_path / "a").iterdir()] == []


def test_a_path_below_a_pool_is_synced_name_by_name(tmp_path: Path) -> None:
    """Each new directory and its parent are synced; existing directories are not changed."""
    (tmp_path / "pool/team").mkdir(parents=True)
    code = "from pyvol.host.files import directories; directories.make_below('pool', 'team/a/b', 0o755)"
    made = ["fsync pool/team/a", "fsync pool/team", "fsync pool/team/a/b", "fsync pool/team/a"]
    assert calls(tmp_path, code) == made
    assert calls(tmp_path, code) == []


def test_a_note_travels_with_its_directory(tmp_path: Path) -> None:
    """The rename is on disk when it returns; the note may follow, because the catalog has it too."""
    (tmp_path / "a/x").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    code = "from pyvol.host.files import durable; durable.move_with_note('a/x', 'b/y', 'note', b'why')"
    assert calls(tmp_path, code) == ["rename a/x b/y", "fsync b"]
    assert (tmp_path / "b/y/note").read_bytes() == b"why"


def test_a_move_overwrites_nothing(tmp_path: Path) -> None:
    """A directory that is not empty stays."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b/file").touch()
    with pytest.raises(OSError, match="not empty"):
        durable.move(str(tmp_path / "a"), str(tmp_path / "b"))


def test_files_of_an_interrupted_attempt_are_replaced(tmp_path: Path) -> None:
    """For example a temporary file or a note after a crash; a symlink at that path is not followed."""
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "f.new").symlink_to(tmp_path / "kept")
    durable.replace(str(tmp_path / "f"), b"new")
    (tmp_path / "x").mkdir()
    (tmp_path / "x/note").symlink_to(tmp_path / "kept")
    durable.move_with_note(str(tmp_path / "x"), str(tmp_path / "y"), "note", b"why")
    assert (tmp_path / "y/note").read_bytes() == b"why"
    assert (tmp_path / "kept").read_text() == "kept"


@pytest.mark.parametrize(("number", "fails"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_file_system_without_fsync_is_not_a_failing_disk(
    monkeypatch: pytest.MonkeyPatch, number: int, *, fails: bool
) -> None:
    """An unsupported fsync is ignored; EIO is a failure."""

    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    if fails:
        with pytest.raises(OSError, match="Input/output"):
            durable.sync(0)
    else:
        durable.sync(0)
