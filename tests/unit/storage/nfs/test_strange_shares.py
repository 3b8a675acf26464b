"""A share may not be as pyvol left it: nothing is lost, and nothing outside of it is touched."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from hosts import Hosts
from pyvol.catalog import SqliteCatalog
from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.lifecycle import removal
from pyvol.storage.nfs import volume_requests
from pyvol.storage.remote.messages import Place, RemoveVolume, StageDeletion


def test_an_export_that_lost_its_directories_loses_no_volume(hosts: Hosts, scratch: Path) -> None:
    """The server started without its disk: that does not remove the volumes."""
    hosts.a.volumes.create("v", None)
    (hosts.share.root / "volumes").rename(scratch / "elsewhere")
    with pytest.raises(StorageFailed):
        hosts.follow(hosts.a)
    assert hosts.a.names() == ["v"]
    used = hosts.share.pool("c", is_used=True)
    with pytest.raises(StorageFailed, match="has none of the pool's directories"):
        used.mount()
    assert not (hosts.share.root / "volumes").exists()


def test_an_export_that_has_another_pool_loses_no_volume(hosts: Hosts, scratch: Path) -> None:
    """The server started without its disk, and a host that knew no volume created a pool there.

    A pool that is copied to another server is still the same pool.
    """
    hosts.a.volumes.create("v", None)
    hosts.pools["a"]._mount._is_used = lambda: True
    root, there = hosts.share.root, scratch / "there"
    root.rename(there)
    root.mkdir()
    hosts.share.pool("c").mount()
    for act in (partial(hosts.follow, hosts.a), partial(hosts.a.volumes.create, "w", None)):
        with pytest.raises(StorageFailed, match="contains a different pool"):
            act()
    assert hosts.a.names() == ["v"]
    assert hosts.b.names() == []
    hosts.follow(hosts.b)  # which knew none of its volumes
    shutil.rmtree(root)
    shutil.copytree(there, root)
    hosts.follow(hosts.a)
    hosts.a.volumes.mount("v", "one")
    hosts.follow(hosts.b)
    assert hosts.b.names() == ["v"]


def test_a_symlink_leads_nowhere(hosts: Hosts, scratch: Path) -> None:
    """What another host put on the share can't lead to this host's own files."""
    (hosts.share.root / "team-a").symlink_to(scratch)
    with pytest.raises(StorageFailed, match="volume 'v' cannot be created"):
        hosts.a.volumes.create("v", {"subdir": "team-a/{name}"})
    assert not (scratch / "v").exists()


def test_a_symlink_in_a_pools_place_leads_nowhere(hosts: Hosts, scratch: Path) -> None:
    """Nothing behind the symlink is made, changed or deleted, and pyvol forgets no volume."""
    hosts.a.volumes.create("v", {"uid": "1000"})
    acts: list[Callable[[], object]] = [
        partial(hosts.a.volumes.mount, "v", "one"),
        partial(hosts.a.volumes.change, "v", {"mode": "0700"}),
        partial(hosts.a.volumes.create, "w", None),
        partial(hosts.a.volumes.remove, "v"),
        hosts.pools["a"].clear_unfinished,
        partial(hosts.follow, hosts.a),
    ]
    for name, chosen in (
        ("volumes", acts),
        ("trash", acts),
        ("staging", acts),
        ("locks", acts[3:4]),
        ("volumes/v", acts[:2]),
    ):
        place, elsewhere = hosts.share.root / name, scratch / name.replace("/", "-")
        place.rename(elsewhere)
        place.symlink_to(elsewhere)
        (elsewhere / "_data").mkdir(exist_ok=True)
        os.chown(elsewhere / "_data", 0, 0)
        (elsewhere / "new-1").mkdir()
        os.utime(elsewhere / "new-1", (0, 0))
        before = sorted(elsewhere.rglob("*"))
        for act in chosen:
            with pytest.raises(StorageFailed, match="replace the symlink"):
                act()
        assert sorted(elsewhere.rglob("*")) == before
        assert (elsewhere / "_data").stat().st_uid == 0
        assert hosts.a.names() == ["v"]
        place.unlink()
        elsewhere.rename(place)
        for made in ("new-1", *(() if "/" in name else ("_data",))):
            (place / made).rmdir()


@pytest.mark.parametrize("kind", ["symlink", "file"])
@pytest.mark.parametrize("place", ["volumes/v", "trash"])
def test_what_is_no_directory_is_not_gone(hosts: Hosts, scratch: Path, kind: str, place: str) -> None:
    """If a symlink has replaced the directory, the volume is kept, and the others are followed."""
    hosts.a.volumes.create("v", None)
    volume = hosts.a.volumes.get("v")
    if place == "trash":
        hosts.a.volumes.remove("v")
    there = hosts.share.root / (place if place != "trash" else f"trash/{volume.id}")
    there.rename(scratch / "elsewhere")
    if kind == "symlink":
        there.symlink_to(scratch / "elsewhere")
    else:
        there.write_text("")
    hosts.b.volumes.create("w", None)
    for _ in range(2):
        hosts.follow(hosts.a)
    known = hosts.a.trash.all() if place == "trash" else hosts.a.volumes.all()
    assert volume.id in [each.id for each in known]
    assert "w" in hosts.a.names()
    assert hosts.a.log.events.count("volume is kept, its directory cannot be looked up") == 1
    with pytest.raises(StorageFailed):
        hosts.a.volumes.remove("v") if place != "trash" else hosts.a.trash.undelete("v")
    assert (scratch / "elsewhere/_data").is_dir()


@pytest.mark.parametrize("given", [{"path": "/srv/x"}, {"type": "tmpfs", "device": "tmpfs"}])
def test_what_is_one_hosts_own_is_not_kept_on_a_share(hosts: Hosts, given: dict[str, str]) -> None:
    """Other hosts could not use it."""
    with pytest.raises(BadOption, match=r"pool 'default' has no volumes with .*: it is on an NFS export"):
        hosts.a.volumes.create("v", given)


def test_an_unreadable_removal_of_another_host_waits(hosts: Hosts) -> None:
    """It is taken in when it can be read; until then nothing is known of it."""
    hosts.a.volumes.create("v", None)
    volume = hosts.a.volumes.get("v")
    hosts.a.volumes.remove("v")
    manifest = hosts.share.root / "trash" / volume.id / "volume.json"
    content = manifest.read_text()
    manifest.write_text("nonsense")
    hosts.follow(hosts.b)
    assert hosts.b.trash.all() == []
    manifest.write_text(content)
    hosts.follow(hosts.b)
    assert [entry.id for entry in hosts.b.trash.all()] == [volume.id]


@pytest.mark.parametrize("spec", [{"path": "/"}, {"path": "/srv/x", "mode": 0o777}])
def test_a_share_gives_no_hosts_own_directories_away(hosts: Hosts, spec: dict[str, object]) -> None:
    """A manifest on the share cannot make another host mount its own directories, or change their mode."""
    hosts.a.volumes.create("v", None)
    file = hosts.share.root / "volumes/v/volume.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "spec": spec}))
    assert hosts.b.volumes.get("v").spec.path == spec["path"]
    with pytest.raises(StorageFailed, match=r"volume 'v' cannot be used: pool 'default' has no volumes with path="):
        hosts.b.volumes.mount("v", "one")


def test_a_copied_directory_takes_no_record_from_its_original(hosts: Hosts, scratch: Path) -> None:
    """A volume with the id of another is left alone and reported, until its manifest has a new id."""
    hosts.a.volumes.create("v", {"mode": "0700"})
    before = hosts.b.volumes.get("v")
    copy = hosts.share.root / "volumes/copy"
    copy.mkdir()
    (copy / "volume.json").write_text((hosts.share.root / "volumes/v/volume.json").read_text())
    hosts.follow(hosts.b)
    assert hosts.b.names() == ["v"]
    assert "volume 'v' has the same id" in str(hosts.b.log.lines)
    catalog = SqliteCatalog(scratch / "b/state", "boot-1")
    assert list(catalog.live()) == [before]
    catalog.close()
    manifest = json.loads((copy / "volume.json").read_text())
    (copy / "volume.json").write_text(json.dumps({**manifest, "id": "c" * 16}))
    hosts.follow(hosts.b)
    assert hosts.b.names() == ["copy", "v"]


def test_other_files_on_a_share_are_left_alone_and_reported_once(hosts: Hosts) -> None:
    """The follower comes by every few seconds, and what somebody else keeps there is not ours to judge."""
    hosts.a.volumes.create("v", None)
    (hosts.share.root / "volumes/not a name").mkdir()
    (hosts.share.root / "trash/not-an-id").mkdir()
    for directory in (b"/volumes", b"/trash", b"/staging"):
        Path(os.fsdecode(os.fsencode(hosts.share.root) + directory + b"/gone-\xff")).mkdir()
    for _ in range(3):
        hosts.follow(hosts.b)
    assert hosts.b.log.events.count("directory left alone") == 2
    assert hosts.b.names() == ["v"]
    assert list(hosts.b.trash.all()) == []


@pytest.mark.parametrize("moment", [1, 2, 3])
@pytest.mark.parametrize("act", ["trash", "delete", "undo"])
def test_a_removal_spares_what_another_host_creates_in_between(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, act: str, moment: int
) -> None:
    """Another host creates a volume of the removed name between two looks of this host at the name.

    The lock of the removal does not prevent that, for a creation needs none.
    """
    hosts.a.volumes.create("v", None)
    volume = hosts.a.volumes.get("v")
    hosts.follow(hosts.b)
    hosts.b.volumes.remove("v")
    place = Place("default", str(hosts.share.root), "a")
    looks, look = 0, os.lstat

    def create_after(path: str, **keywords: int) -> os.stat_result:
        nonlocal looks
        try:
            return look(path, **keywords)
        finally:
            looks += str(path) == f"{place.root}/volumes/v"
            if looks == moment:
                looks += 1  # the creation looks at the name too
                hosts.b.volumes.create("v", None)

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", create_after)
        if act == "undo":
            with suppress(StorageFailed):  # it finds the other volume
                volume_requests.stage_deletion(StageDeletion(place, volume))
        else:
            trashed = removal.trashed(volume, hosts.a.clock(), timedelta(1)) if act == "trash" else None
            volume_requests.remove(RemoveVolume(place, volume, trashed))
    hosts.b.volumes.create("v", None)  # does nothing, unless there were fewer looks
    hosts.b.volumes.mount("v", "one")
    assert hosts.b.volumes.get("v").id != volume.id
