"""Copy-up: the engine fills an empty volume from the image, and owner and mode go with it (fact 13)."""

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
    """The first use copies files, owners and modes under a mount of its own, and the start mounts again."""
    machine.create("data")
    assert machine.run("-v", f"data:{SEEDED}", script=SHOW_ROOT) == f"{SEEDED_UID} {SEEDED_GID} {SEEDED_MODE:o}"

    data = machine.data("data")
    assert {name: (data / name).read_text() for name in SEEDED_FILES} == SEEDED_FILES
    assert read_owner(data) == (SEEDED_UID, SEEDED_GID, SEEDED_MODE)
    assert read_owner(data / "greeting") == (SEEDED_UID, SEEDED_GID, 0o640)
    assert machine.story("data").changes() == "C M(a) U(a) M(b) U(b)"
    assert machine.claims("data") == []


@pytest.mark.transcript("copy-up-options")
def test_the_volumes_own_owner_and_mode_win(machine: Machine) -> None:
    """What uid, gid and mode asked for is applied again at each Mount, after the copy-up took it away."""
    machine.create("data", uid="77", gid="78", mode="0711")
    assert machine.run("-v", f"data:{SEEDED}", script=SHOW_ROOT) == "77 78 711"

    assert read_owner(machine.data("data")) == (77, 78, 0o711)
    assert (machine.data("data") / "greeting").read_text() == SEEDED_FILES["greeting"]


def test_a_volume_with_content_is_left_alone(machine: Machine) -> None:
    """Nothing is copied into a volume that has an entry, and its content is the container's."""
    machine.create("data")
    (machine.data("data") / "mine").write_text("mine\n")
    assert machine.run("-v", f"data:{SEEDED}", script=f"ls {SEEDED}") == "mine"


@pytest.mark.transcript("nocopy")
def test_nocopy_leaves_the_volume_empty(machine: Machine) -> None:
    """With `nocopy` there is no mount for a copy, and nothing is copied."""
    machine.create("data")
    assert machine.run("-v", f"data:{SEEDED}:nocopy", script=f"ls {SEEDED}") == ""

    assert machine.story("data").changes() == "C M(a) U(a)"


def test_a_volume_over_a_file_of_the_image(machine: Machine) -> None:
    """There is no directory to copy, so the container is refused; each Mount has had its Unmount."""
    machine.create("data")
    machine.refused("run", "--rm", "--network", "none", "-v", "data:/etc/passwd", BOX, "true")

    story = machine.story("data")
    assert story.times("Mount") == story.times("Unmount") > 0
    assert machine.claims("data") == []


def test_an_adopted_directory_gets_no_mode_it_did_not_ask_for(machine: Machine, tmp_path: Path) -> None:
    """A directory taken with `path` is mounted where it is, with the content and the owner that it has."""
    adopted = tmp_path / "adopted"
    adopted.mkdir(mode=0o755)
    (adopted / "here").write_text("already\n")
    machine.create("data", path=str(adopted))
    assert machine.run("-v", f"data:{SEEDED}", script=f"cat {SEEDED}/here; echo new > {SEEDED}/there") == "already"

    assert (adopted / "there").read_text() == "new\n"
    assert read_owner(adopted) == (0, 0, 0o755)
    machine.docker("volume", "rm", "data")
    assert (adopted / "here").exists()
