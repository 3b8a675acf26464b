"""ENOSPC: a pool, or the state directory, on a full file system."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pyvol.api.v1.schema.trash import Emptied
from served import PATIENCE_S, Served

from .filesystems import fill, make_room, tmpfs
from .verbs import LIVE, VERBS, Facts, Verb, compare_with_disk, create, facts, is_helpful, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.faults

SIZE_KIB = 512


@pytest.fixture
def full_pool(tmp_path: Path) -> Iterator[Served]:
    """Yield a daemon with little space in its pool, which never empties the trash to free space."""
    with tmpfs(tmp_path / "pool", SIZE_KIB):
        daemon = Served(tmp_path, STATE_DIR=str(tmp_path / "state"), TRASH_MIN_FREE="0%")
        daemon.start()
        yield daemon
        daemon.stop()


@pytest.fixture
def full_state(tmp_path: Path) -> Iterator[tuple[Served, Path]]:
    """Yield a daemon with much space in its pool and little for its catalog, and the directory to fill."""
    state = tmp_path / "state"
    with tmpfs(state, SIZE_KIB):
        daemon = Served(tmp_path, STATE_DIR=str(state), TRASH_MIN_FREE="0%")
        daemon.start()
        yield daemon, state
        daemon.stop()


@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_a_full_pool_is_reported_and_changes_nothing(full_pool: Served, verb: Verb) -> None:
    """In a full pool a verb works, or asks for space and changes nothing, and works later (promise 2)."""
    verb.prepare(full_pool, "v")
    fill(full_pool.root)
    error = verb.act(full_pool, "v")
    if error:
        assert "No space left on device" in error
        assert "make room" in error
        assert is_helpful(error, "v"), error
        assert facts(full_pool, "v") == verb.before
        compare_with_disk(full_pool)
        make_room(full_pool.root)
        assert verb.act(full_pool, "v") == ""
    assert facts(full_pool, "v") == verb.after
    compare_with_disk(full_pool)


def test_a_full_pool_can_be_emptied(full_pool: Served) -> None:
    """In a full pool volumes can be removed and the trash emptied, which need no space."""
    assert create(full_pool, "trashed") == ""
    assert remove(full_pool, "trashed") == ""
    assert create(full_pool, "unwanted") == ""
    assert create(full_pool, "doomed", on_remove="delete") == ""
    assert create(full_pool, "0" * 64) == ""
    fill(full_pool.root)
    assert create(full_pool, "late") != ""
    assert remove(full_pool, "unwanted") == ""
    with full_pool.client() as client:
        assert {volume.name for volume in client.result(client.empty_trash(), Emptied).gone} == {"trashed", "unwanted"}
    for name in ("doomed", "0" * 64):
        assert remove(full_pool, name) == ""
        assert facts(full_pool, name) == Facts()
    compare_with_disk(full_pool)


def test_a_full_disk_with_pool_and_catalog_can_be_emptied(tmp_path: Path) -> None:
    """If the catalog is on the full disk too, the default, removing and emptying still free space."""
    with tmpfs(tmp_path / "pool", 8 << 10):
        served = Served(tmp_path, TRASH_MIN_FREE="0%")
        served.start()
        for name in ("big", "unwanted", "doomed"):
            assert create(served, name, **({"on_remove": "delete"} if name == "doomed" else {})) == ""
        fill(served.root / "volumes/big/_data")
        assert create(served, "late") != ""
        assert [remove(served, name) for name in ("big", "unwanted", "doomed")] == ["", "", ""]
        with served.client() as client:
            assert {volume.name for volume in client.result(client.empty_trash(), Emptied).gone} == {"big", "unwanted"}
        deadline = time.monotonic() + PATIENCE_S
        while create(served, "late") != "":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        compare_with_disk(served)
        served.stop()


@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_a_full_state_directory_is_reported_and_changes_nothing(full_state: tuple[Served, Path], verb: Verb) -> None:
    """If the catalog's disk is full, a verb asks for space, changes nothing, and works later (promise 2)."""
    served, state = full_state
    verb.prepare(served, "v")
    fill(state)
    error = verb.act(served, "v")
    assert "is full" in error
    assert "make room" in error
    assert is_helpful(error, "v"), error
    assert facts(served, "v") == verb.before
    compare_with_disk(served)
    make_room(state)
    assert verb.act(served, "v") == ""
    assert facts(served, "v") == verb.after
    compare_with_disk(served)


def test_a_start_on_a_full_disk_forgets_nothing(full_state: tuple[Served, Path]) -> None:
    """After a kill and a start on a full disk pyvol knows each volume, and works with space (promise 2)."""
    served, state = full_state
    assert create(served, "v") == ""
    fill(state)
    served.kill()
    served.start()
    assert facts(served, "v") == LIVE
    make_room(state)
    assert create(served, "w") == ""
    compare_with_disk(served)
