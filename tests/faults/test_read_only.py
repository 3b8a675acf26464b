"""A pool, or the state directory, on a read-only file system."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from served import PATIENCE_S, Served

from .filesystems import bound, mounted, remount, run
from .verbs import VERBS, Verb, compare_with_disk, create, facts, is_helpful, mount

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.faults

BAD_SETTING = 78


@pytest.fixture
def bound_pool(tmp_path: Path) -> Iterator[Served]:
    """Yield a daemon whose pool can be made read-only; its catalog is elsewhere."""
    with bound(tmp_path / "pool"):
        daemon = Served(tmp_path, STATE_DIR=str(tmp_path / "state"), TRASH_MIN_FREE="0%")
        daemon.start()
        yield daemon
        daemon.stop()


@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_a_read_only_pool_is_reported_and_changes_nothing(bound_pool: Served, verb: Verb) -> None:
    """In a read-only pool a verb works without a write, or fails, changes nothing, and works later."""
    verb.prepare(bound_pool, "v")
    remount(bound_pool.root, "ro")
    error = verb.act(bound_pool, "v")
    if verb.name in {"mount", "unmount"}:
        assert error == ""
    else:
        assert "Read-only file system" in error
        assert "remount" in error
        assert is_helpful(error, "v"), error
        assert facts(bound_pool, "v") == verb.before
    remount(bound_pool.root, "rw")
    if error:
        assert verb.act(bound_pool, "v") == ""
    assert facts(bound_pool, "v") == verb.after
    compare_with_disk(bound_pool)


def test_an_owner_cannot_be_set_on_a_read_only_pool(bound_pool: Served) -> None:
    """A Mount that must change an owner in a read-only pool fails and leaves no claim (engine fact 13)."""
    assert create(bound_pool, "v", uid="1000") == ""
    data = bound_pool.root / "volumes" / "v" / "_data"
    run("chown", "0", data)
    remount(bound_pool.root, "ro")
    error = mount(bound_pool, "v")
    assert "Read-only file system" in error
    assert is_helpful(error, "v"), error
    with bound_pool.client() as client:
        assert client.claims().claims == []
        assert "Read-only file system" in client.volume("v").health
    remount(bound_pool.root, "rw")
    assert mount(bound_pool, "v") == ""
    assert data.stat().st_uid == 1000
    with bound_pool.client() as client:
        assert client.volume("v").health == "ok"


@pytest.mark.parametrize("key", ["ROOT", "STATE_DIR"])
def test_a_start_on_a_read_only_directory_is_refused(tmp_path: Path, key: str) -> None:
    """A start with a read-only root or state directory fails with one error and exit status 78."""
    (tmp_path / "other").mkdir()
    with bound(tmp_path / "dead") as dead:
        remount(dead, "ro")
        places = {"ROOT": str(tmp_path / "other"), "STATE_DIR": str(tmp_path / "other"), key: str(dead)}
        served = Served(tmp_path, **places)
        assert served.launch().wait(PATIENCE_S) == BAD_SETTING
        said = served.log.read_text().splitlines()
        assert len(said) == 1, said
        assert str(dead) in said[0]
        assert not served.socket.exists()
        assert list((tmp_path / "other").iterdir()) == []


def test_a_disk_that_breaks_is_reported_and_loses_nothing(tmp_path: Path) -> None:
    """If a disk breaks and becomes read-only, no verb reports a false success, and a repair restores all."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    run("mkfs.ext4", "-q", "-F", image)
    disk = tmp_path / "disk"
    served = Served(tmp_path, STATE_DIR=str(disk / "state"), TRASH_MIN_FREE="0%")
    served.root = disk / "pool"
    with mounted(disk, "-o", "loop,errors=remount-ro", image):
        served.start()
        for verb in VERBS:
            verb.prepare(served, verb.name)
        device = run("findmnt", "--noheadings", "--output", "SOURCE", disk).strip().removeprefix("/dev/")
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("broken by a test")
        for verb in VERBS:
            error = verb.act(served, verb.name)
            # On such a disk the kernel accepts a write to blocks that a file already has, and reports a
            # successful sync.
            if error or verb.name not in {"mount", "unmount"}:
                assert is_helpful(error, verb.name), (verb, error)
                assert facts(served, verb.name) == verb.before
        served.kill()
    with contextlib.suppress(subprocess.CalledProcessError):  # e2fsck exits with 1 after a repair
        run("e2fsck", "-p", image)
    with mounted(disk, "-o", "loop", image):
        served.start()
        for verb in VERBS:
            assert facts(served, verb.name) in (verb.before, verb.after)
            if facts(served, verb.name) == verb.before:
                assert verb.act(served, verb.name) == ""
            assert facts(served, verb.name) == verb.after
        compare_with_disk(served)
        served.stop()
