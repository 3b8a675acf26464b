"""What every pool has to do: one suite for each kind of pool, and for the fake."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from fakes import FakePool
from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import Phase, Volume, VolumeSpec
from pyvol.core.ports.pool import Pool
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.local.pool import LocalPool
from pyvol.storage.paths.allowed import AdoptablePaths
from shares import Share

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
READY = Volume("0123456789abcdef", "v", VolumeSpec(mode=0o700), NOW, Phase.READY)
TRASHED = msgspec.structs.replace(READY, phase=Phase.TRASHED, removed=NOW, until=NOW)


def local_pool(root: Path) -> Pool:
    """A pool in a directory of this host."""
    pool = LocalPool("default", str(root / "pool"), "host-1", AdoptablePaths([str(root / "pool")], [], KernelMounts()))
    pool.prepare()
    return pool


@pytest.fixture(params=["local", "fake", "shared", "shared-here"])
def pool(request: pytest.FixtureRequest, scratch: Path) -> Iterator[Pool]:
    """Each kind of pool; a shared pool both with worker processes and with its workers in this process."""
    if request.param.startswith("shared"):
        share = Share(scratch / "pool", has_processes=request.param == "shared")
        made = share.pool()
        yield made
        share.close()
    else:
        yield FakePool() if request.param == "fake" else local_pool(scratch)


def test_a_new_pool_is_empty(pool: Pool) -> None:
    """A new pool has no directories of volumes."""
    assert pool.listing() == (frozenset(), frozenset(), frozenset())


def test_what_is_provisioned_can_be_read_attached_and_counted(pool: Pool) -> None:
    """A new volume is whole."""
    pool.provision(READY)
    assert pool.read_live("v") == READY
    assert pool.attach(READY) == pool.mountpoint(READY)
    assert pool.listing().live == {"v"}
    assert pool.holds(READY)
    pool.detach(READY)


def test_a_name_is_provisioned_once(pool: Pool) -> None:
    """A second volume with the same name is refused, and the first does not change."""
    pool.provision(READY)
    with pytest.raises(StorageFailed, match=r"'v'.* exists and is not in the catalog"):
        pool.provision(msgspec.structs.replace(READY, id="f" * 16))
    assert pool.read_live("v") == READY
    assert pool.listing() == (frozenset({"v"}), frozenset(), frozenset())


def test_to_the_trash_and_back(pool: Pool) -> None:
    """An undelete restores the removed volume, also under another name."""
    pool.provision(READY)
    assert pool.remove(READY, TRASHED).in_trash
    assert pool.listing() == (frozenset(), frozenset({READY.id}), frozenset())
    assert pool.read_trashed(READY.id) == TRASHED
    assert pool.holds(TRASHED)
    assert not pool.holds(READY)
    renamed = msgspec.structs.replace(READY, name="w")
    pool.from_trash(renamed)
    assert pool.listing() == (frozenset({"w"}), frozenset(), frozenset())
    assert pool.read_live("w") == renamed


def test_a_removal_is_undone(pool: Pool) -> None:
    """From the trash and from the staged deletions: the catalog failed, and the volume is where it was."""
    pool.provision(READY)
    for trashed in (TRASHED, None):
        removal = pool.remove(READY, trashed)
        assert removal.in_trash is (trashed is not None)
        assert pool.listing().live == frozenset()
        removal.undo()
        assert pool.listing() == (frozenset({"v"}), frozenset(), frozenset())
        assert pool.read_live("v") == READY


def test_back_from_the_trash_over_another_volume_is_refused(pool: Pool) -> None:
    """Nothing is overwritten by an undelete."""
    pool.provision(READY)
    assert pool.remove(READY, TRASHED).in_trash
    other = msgspec.structs.replace(READY, id="f" * 16)
    pool.provision(other)
    with pytest.raises(StorageFailed, match="'v'"):
        pool.from_trash(READY)
    assert pool.read_live("v") == other
    assert pool.read_trashed(READY.id) == TRASHED


@pytest.mark.parametrize("phase", [Phase.READY, Phase.TRASHED])
def test_staged_for_deletion_and_purged(pool: Pool, phase: Phase) -> None:
    """A live or a removed volume is staged at once and deleted by the purge; staging it twice is harmless."""
    pool.provision(READY)
    volume = READY
    if phase is Phase.TRASHED:
        assert pool.remove(READY, TRASHED).in_trash
        volume = TRASHED
    pool.stage_deletion(volume)
    assert pool.listing() == (frozenset(), frozenset(), frozenset({READY.id}))
    pool.stage_deletion(volume)
    pool.purge(READY.id)
    assert pool.listing() == (frozenset(), frozenset(), frozenset())


def test_a_manifest_can_be_written_again(pool: Pool) -> None:
    """Changed options are in the manifest."""
    pool.provision(READY)
    changed = msgspec.structs.replace(READY, spec=VolumeSpec(protect=True))
    pool.write_manifest(changed)
    assert pool.read_live("v") == changed


def test_what_is_missing_is_an_error_that_names_it(pool: Pool) -> None:
    """Every act that needs a directory names the volume; a removal needs none."""
    for verb in (pool.attach, pool.from_trash):
        with pytest.raises(StorageFailed, match="'v'"):
            verb(READY)
    assert not pool.remove(READY, TRASHED).in_trash
    with pytest.raises(StorageFailed, match="'v'"):
        pool.read_live("v")
    with pytest.raises(StorageFailed, match=READY.id):
        pool.read_trashed(READY.id)


def test_space(pool: Pool) -> None:
    """Free space is part of the whole."""
    space = pool.space()
    assert 0 < space.free_bytes <= space.total_bytes
    assert 0 < space.free_percent <= 100


def test_nothing_unfinished_is_left(pool: Pool) -> None:
    """After a success there is nothing to clear."""
    pool.provision(READY)
    assert pool.clear_unfinished() == 0


def test_what_is_mounted_in_a_removed_volume_is_not_to_be_deleted_by_hand(tmp_path: Path) -> None:
    """A deletion by hand would delete what is bound there, so the hint is to unmount it."""
    pool = local_pool(tmp_path)
    pool.provision(READY)
    (tmp_path / "precious").mkdir()
    target = tmp_path / "pool/volumes/v/_data/precious"
    target.mkdir()
    subprocess.run(["mount", "--bind", tmp_path / "precious", target], check=True)
    (target / "file").write_text("kept")
    pool.stage_deletion(READY)
    try:
        with pytest.raises(StorageFailed, match="something is mounted there; unmount it, and leave"):
            pool.purge(READY.id)
        assert (tmp_path / "precious/file").read_text() == "kept"
    finally:
        (place,) = (tmp_path / f"pool/staging/gone-{READY.id}").rglob("precious")
        subprocess.run(["umount", place], check=True)
    pool.purge(READY.id)
    assert pool.listing().pending_deletion == set()
