"""Copy-up: the engine fills an empty volume from the image, with owner and mode (fact 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .images import BOX, SEEDED, SEEDED_FILES, SEEDED_GID, SEEDED_MODE, SEEDED_UID

if TYPE_CHECKING:
    from pathlib import Path

    from .machine import Machine

pytestmark = pytest.mark.engine

SHOW_ROOT = f"stat -c '%u %g %a' {SEEDED}"


def read_owner(path: Path) -> tuple[int, int, int]:
    """Return uid, gid and mode."""
    state = path.stat()
    return state.st_uid, state.st_gid, state.st_mode & 0o7777


@pytest.mark.transcript("copy-up")
def test_an_empty_volume_gets_the_images_content(machine: Machine) -> None:
    """The first use copies files, owners and modes under a separate mount, and the start mounts again."""
    machine.create("data")
    assert machine.run("-v", f"data:{SEEDED}", script=SHOW_ROOT) == f"{SEEDED_UID} {SEEDED_GID} {SEEDED_MODE:o}"

    data = machine.data("data")
    assert {name: (data / name).read_text() for name in SEEDED_FILES} == SEEDED_FILES
    assert read_owner(data) == (SEEDED_UID, SEEDED_GID, SEEDED_MODE)
    assert read_owner(data / "greeting") == (SEEDED_UID, SEEDED_GID, 0o640)
    assert machine.calls("data").changes() == "C M(a) U(a) M(b) U(b)"
    assert machine.claims("data") == []


@pytest.mark.transcript("copy-up-options")
def test_the_options_owner_and_mode_win(machine: Machine) -> None:
    """Each Mount applies the options uid, gid and mode again after the copy-up has changed them."""
    machine.create("data", uid="77", gid="78", mode="0711")
    assert machine.run("-v", f"data:{SEEDED}", script=SHOW_ROOT) == "77 78 711"

    assert read_owner(machine.data("data")) == (77, 78, 0o711)
    assert (machine.data("data") / "greeting").read_text() == SEEDED_FILES["greeting"]


def test_a_volume_with_content_is_left_alone(machine: Machine) -> None:
    """The engine copies nothing into a volume that has an entry, and the container uses that entry."""
    machine.create("data")
    (machine.data("data") / "mine").write_text("mine\n")
    assert machine.run("-v", f"data:{SEEDED}", script=f"ls {SEEDED}") == "mine"


@pytest.mark.transcript("nocopy")
def test_nocopy_leaves_the_volume_empty(machine: Machine) -> None:
    """With `nocopy` the engine sends no Mount for a copy and copies nothing."""
    machine.create("data")
    assert machine.run("-v", f"data:{SEEDED}:nocopy", script=f"ls {SEEDED}") == ""

    assert machine.calls("data").changes() == "C M(a) U(a)"


def test_a_volume_over_a_file_of_the_image(machine: Machine) -> None:
    """A volume over a file of the image fails the container's start, and each Mount has its Unmount."""
    machine.create("data")
    machine.refused("run", "--rm", "--network", "none", "-v", "data:/etc/passwd", BOX, "true")

    calls = machine.calls("data")
    assert calls.times("Mount") == calls.times("Unmount") > 0
    assert machine.claims("data") == []


def test_an_adopted_directory_keeps_its_mode(machine: Machine, tmp_path: Path) -> None:
    """A directory adopted with `path` is mounted in place and keeps its content, owner and mode."""
    adopted = tmp_path / "adopted"
    adopted.mkdir(mode=0o755)
    (adopted / "here").write_text("already\n")
    machine.create("data", path=str(adopted))
    assert machine.run("-v", f"data:{SEEDED}", script=f"cat {SEEDED}/here; echo new > {SEEDED}/there") == "already"

    assert (adopted / "there").read_text() == "new\n"
    assert read_owner(adopted) == (0, 0, 0o755)
    machine.docker("volume", "rm", "data")
    assert (adopted / "here").exists()
