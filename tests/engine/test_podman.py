"""Podman with pyvol: other requests than Docker's, with the same result (facts 10, 12, 15, 16, 17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .images import SEEDED, SEEDED_FILES

if TYPE_CHECKING:
    from .podman import PodmanMachine

pytestmark = pytest.mark.engine

MOUNTED = ("-v", "data:/data")


@pytest.mark.transcript("volume-life")
def test_a_volume_lives_and_ends(podman: PodmanMachine) -> None:
    """Create, ls, inspect and rm work, each after an Activate (fact 16)."""
    podman.podman("volume", "create", "--driver", "pyvol", "data")
    assert podman.podman("volume", "ls", "--quiet") == "data"
    seen = podman.inspect_volume("data")
    podman.podman("volume", "rm", "data")

    assert (seen["Driver"], seen["Scope"]) == ("pyvol", "local")
    assert seen["Status"]["health"] == "ok"
    assert podman.podman("volume", "ls", "--quiet") == ""
    assert podman.calls().changes() == "C R"
    assert podman.calls().times("Activate") >= 2


@pytest.mark.transcript("run")
def test_a_container_writes_and_another_reads(podman: PodmanMachine) -> None:
    """The next container finds a container's data, each mounts and unmounts once, and no claim is left."""
    podman.podman("volume", "create", "--driver", "pyvol", "data")
    podman.run(*MOUNTED, script="echo kept > /data/file")
    assert podman.run(*MOUNTED, script="cat /data/file") == "kept"

    assert podman.calls().of("Create", "Mount", "Unmount").notation() == "C M(a) U(a) M(a) U(a)"
    assert (podman.plugin.data("data") / "file").read_text() == "kept\n"
    assert podman.plugin.claims() == []


@pytest.mark.transcript("one-id-for-all")
def test_one_id_serves_all_containers_and_volumes(podman: PodmanMachine) -> None:
    """Two containers cause one Mount and one Unmount, and two volumes have one ID (fact 16)."""
    for volume in ("data", "other"):
        podman.podman("volume", "create", "--driver", "pyvol", volume)
    podman.launch("one", *MOUNTED, "-v", "other:/other")
    podman.launch("two", *MOUNTED)
    podman.podman("stop", "one")
    assert [(claim.volume, claim.count) for claim in podman.plugin.claims()] == [("data", 1)]
    podman.podman("stop", "two")

    calls = podman.calls()
    assert len({call.mount_id for call in calls.of("Mount", "Unmount")}) == 1
    assert calls.about("data").of("Mount", "Unmount").notation() == "M(a) U(a)"
    assert calls.about("other").of("Mount", "Unmount").notation() == "M(a) U(a)"
    assert calls.times("Path") == 0
    assert podman.plugin.claims() == []


@pytest.mark.transcript("options")
def test_options_in_one_string_are_understood(podman: PodmanMachine) -> None:
    """`-o o=uid=…` arrives a second time with capital letters, and sets owner and mode once (fact 17)."""
    podman.podman("volume", "create", "--driver", "pyvol", "-o", "o=uid=1000,gid=1001,mode=0750", "data")

    [created] = podman.calls().of("Create")
    assert created.asked["Opts"]["o"] == "uid=1000,gid=1001,mode=0750"
    assert (created.asked["Opts"]["UID"], created.asked["Opts"]["GID"]) == ("1000", "1001")
    state = podman.plugin.data("data").stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (1000, 1001, 0o750)
    [volume] = podman.plugin.ask("ls")
    assert volume["options"] == {"uid": "1000", "gid": "1001", "mode": "0750"}


@pytest.mark.transcript("unknown-option")
def test_an_unknown_option_is_an_error(podman: PodmanMachine) -> None:
    """Podman shows a refusal, which pyvol sends as HTTP 500, as an error (fact 15)."""
    code, _, said = podman.try_podman("volume", "create", "--driver", "pyvol", "-o", "o=colour=red", "data")

    assert code
    assert "colour" in said
    assert podman.calls().of("Create")[0].status == 500
    assert podman.podman("volume", "ls", "--quiet") == ""


def test_copy_up(podman: PodmanMachine) -> None:
    """An empty volume gets the image's content, as with Docker (fact 13)."""
    podman.podman("volume", "create", "--driver", "pyvol", "data")
    assert podman.run("-v", f"data:{SEEDED}", script=f"cat {SEEDED}/greeting") == SEEDED_FILES["greeting"].strip()


def test_pyvol_is_killed_under_a_container(podman: PodmanMachine) -> None:
    """After kill -9 and a restart pyvol still has the claim, and the container's end releases it."""
    podman.podman("volume", "create", "--driver", "pyvol", "data")
    podman.launch("box", *MOUNTED)
    podman.plugin.kill()
    podman.plugin.start()
    assert [claim.count for claim in podman.plugin.claims()] == [1]
    podman.podman("exec", "box", "touch", "/data/file")
    podman.podman("rm", "--force", "--time", "0", "box")

    assert podman.plugin.claims() == []
    assert (podman.plugin.data("data") / "file").exists()


def test_an_undeleted_volume_is_taken_up_again(podman: PodmanMachine) -> None:
    """Podman's next create of an undeleted volume's name returns the volume with its data (fact 12)."""
    podman.podman("volume", "create", "--driver", "pyvol", "data")
    podman.run(*MOUNTED, script="echo precious > /data/file")
    podman.podman("volume", "rm", "data")
    podman.plugin.ask("undelete", "data")
    podman.podman("volume", "create", "--driver", "pyvol", "data")

    assert podman.run(*MOUNTED, script="cat /data/file") == "precious"
