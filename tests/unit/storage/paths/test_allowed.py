"""What `path=` may adopt."""

import os
from pathlib import Path

import pytest

from pyvol.core.errors import BadOption
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.paths.allowed import SHARED, SYSTEM, AdoptablePaths


@pytest.fixture
def rules(tmp_path: Path) -> AdoptablePaths:
    """A host with a pool, where any path is allowed."""
    (tmp_path / "pool").mkdir()
    return AdoptablePaths([str(tmp_path / "pool")], [], KernelMounts())


@pytest.mark.parametrize(
    "path", ["/", "/var", "/var/lib", "/var/lib/docker", *SYSTEM, *SHARED, "/usr/share", "/proc/self", "/etc/"]
)
def test_system_directories_are_refused(rules: AdoptablePaths, path: str) -> None:
    """A system directory is refused, and so is each directory above or below it, whether it exists or not."""
    with pytest.raises(BadOption, match=rf"path {path} "):
        rules.resolve(path)


def test_what_is_not_there_or_no_directory_is_refused(rules: AdoptablePaths, tmp_path: Path) -> None:
    """The directory has to exist: a typo must not become an empty volume."""
    (tmp_path / "file").touch()
    with pytest.raises(BadOption, match="No such file or directory; create the directory first"):
        rules.resolve(str(tmp_path / "nope"))
    with pytest.raises(BadOption, match="is not a directory"):
        rules.resolve(str(tmp_path / "file"))


def test_pyvols_own_directories_are_refused(rules: AdoptablePaths, tmp_path: Path) -> None:
    """A path above, at or below pyvol's own directories is refused, also through a symlink."""
    (tmp_path / "pool/volumes").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "pool")
    for path in (tmp_path, tmp_path / "pool", tmp_path / "pool/volumes", tmp_path / "link"):
        with pytest.raises(BadOption, match="overlaps with pyvol's own directory"):
            rules.resolve(str(path))


def test_symlinks_are_resolved_once_and_for_all(rules: AdoptablePaths, tmp_path: Path) -> None:
    """The volume gets the directory's path without symlinks."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert rules.resolve(str(tmp_path / "link") + "/.") == str(tmp_path / "real")


@pytest.mark.parametrize("name", [b"a\nb", b"\xff"])
def test_a_symlink_to_what_cannot_be_shown_is_refused(rules: AdoptablePaths, tmp_path: Path, name: bytes) -> None:
    """A path in a manifest follows the rules of the option, so pyvol can read each manifest it writes."""
    real = tmp_path / os.fsdecode(name)
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    with pytest.raises(
        BadOption, match=r"link is refused: it leads to '.*', which cannot be displayed; rename the directory"
    ):
        rules.resolve(str(tmp_path / "link"))


def test_allowed_paths_narrow_it(tmp_path: Path) -> None:
    """Outside of allowed_paths nothing is adopted, and a common prefix of letters is not inside."""
    for name in ("in", "inside", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in/below").mkdir()
    rules = AdoptablePaths([], [str(tmp_path / "in")], KernelMounts())
    assert rules.resolve(str(tmp_path / "in")) == str(tmp_path / "in")
    assert rules.resolve(str(tmp_path / "in/below")) == str(tmp_path / "in/below")
    for name in ("inside", "out"):
        with pytest.raises(BadOption, match="is outside of allowed_paths"):
            rules.resolve(str(tmp_path / name))
