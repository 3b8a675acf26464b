"""Set owner and mode of a directory while a user replaces directories of its path."""

import os
from pathlib import Path

import pytest

from pyvol.host.files import directories


@pytest.mark.parametrize("swapped", ["parent", "parent/data"])
def test_a_symlink_that_replaces_a_directory_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    """Also if the directory, or its parent, is replaced between the check and the change."""
    (tmp_path / "parent/data").mkdir(parents=True)
    (tmp_path / "other/data").mkdir(parents=True)
    for directory in ("other", "other/data"):
        (tmp_path / directory).chmod(0o700)
    really_open = os.open

    def open_late(path: str, flags: int) -> int:
        (tmp_path / swapped).rename(tmp_path / "aside")
        (tmp_path / swapped).symlink_to(tmp_path / swapped.replace("parent", "other"))
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", open_late)
    path = str(tmp_path / "parent/data")
    with pytest.raises(OSError, match="symbolic links"):
        directories.own(path, 4242, None, 0o777, path)
    found = (tmp_path / "other/data").stat()
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o700)
