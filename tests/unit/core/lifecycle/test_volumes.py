"""Create, mount and remove volumes with all kinds of options."""

from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from fakes import FakePool
from house import House
from pyvol.core.errors import (
    BadName,
    BadOption,
    BadRequest,
    CatalogFailed,
    StorageFailed,
    VolumeExists,
)
from pyvol.core.lifecycle.path_overlap import AdoptedDirectories
from pyvol.core.model.volume import Phase, Volume, VolumeSpec


def test_create_makes_a_self_describing_directory(house: House) -> None:
    """A volume is one directory with a manifest and `_data`, so that its pool can move to another host."""
    house.volumes.create("data", {"mode": "0750", "on_remove": "keep"})
    described = house.manifest("data")
    assert described["name"] == "data"
    assert described["created"] == "2026-01-31T12:00:00Z"
    assert described["spec"] == {"mode": 0o750, "on_remove": "keep"}
    assert house.data("data").stat().st_mode & 0o7777 == 0o750


def test_create_with_the_same_options_is_a_success(house: House) -> None:
    """Podman sends Create whenever its Get failed, and replies get lost (fact 12)."""
    house.volumes.create("v", {"mode": "750"})
    (house.data("v") / "file").write_text("kept")
    house.volumes.create("v", {"mode": "0750"})
    assert (house.data("v") / "file").read_text() == "kept"


def test_create_with_other_options_names_the_difference(house: House) -> None:
    """Other options on a name that exists are a conflict that says which, never a re-make (fact 12)."""
    house.volumes.create("v", {"mode": "0750"})
    with pytest.raises(VolumeExists, match=r"mode is 0750, asked for 0700, protect is false, asked for true"):
        house.volumes.create("v", {"mode": "0700", "protect": ""})
    with pytest.raises(VolumeExists, match="mode is 0750, asked for not set"):
        house.volumes.create("v", None)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../../etc/x", "x/y", "a b", "-x", ".x", "_x", "é", "a" * 201, "a\n", "a\0b", "💥"]
)
def test_names_are_checked_on_every_verb(house: House, name: str) -> None:
    """Docker validates no name for a plugin (fact 6)."""
    for verb in (
        lambda: house.volumes.create(name, None),
        lambda: house.volumes.get(name),
        lambda: house.volumes.mount(name, "id"),
        lambda: house.volumes.unmount(name, "id"),
        lambda: house.volumes.remove(name),
    ):
        with pytest.raises(BadName, match="is not a volume name"):
            verb()
    assert list((house.root / "pool/volumes").iterdir()) == []


def test_a_mount_returns_an_existing_absolute_directory(house: House) -> None:
    """An empty or relative Mountpoint would bind the OCI bundle into the container (fact 30)."""
    house.volumes.create("v", None)
    mountpoint = Path(house.volumes.mount("v", "id"))
    assert mountpoint.is_absolute()
    assert mountpoint.is_dir()


def test_a_failed_mount_leaves_no_claim(house: House) -> None:
    """A failed Mount gets no Unmount (fact 26); the volume is degraded until a Mount succeeds."""
    house.volumes.create("v", None)
    data = house.data("v")
    data.rmdir()
    with pytest.raises(StorageFailed, match=r"volume 'v'.*No such file.*bring the directory back"):
        house.volumes.mount("v", "id")
    assert house.volume_status.claims() == []
    assert "No such file" in house.volume_status.status(house.volumes.get("v"))["health"]
    data.mkdir()
    house.volumes.mount("v", "id")
    assert house.volume_status.status(house.volumes.get("v"))["health"] == "ok"


def test_a_symlink_in_the_place_of_the_data_is_refused(house: House, tmp_path: Path) -> None:
    """Nothing leaves the pool's root, symlinks included (promise 6)."""
    house.volumes.create("v", {"mode": "0777"})
    house.data("v").rmdir()
    house.data("v").symlink_to(tmp_path)
    mode = tmp_path.stat().st_mode
    with pytest.raises(StorageFailed, match="volume 'v'"):
        house.volumes.mount("v", "id")
    assert tmp_path.stat().st_mode == mode


def test_ownership_is_applied_again_at_each_mount(house: House) -> None:
    """Copy-up gives the root the image's owner and mode (fact 13); what was asked for comes back."""
    house.volumes.create("v", {"uid": "alice", "gid": "50", "mode": "2750"})
    data = house.data("v")
    data.chmod(0o777)
    house.volumes.mount("v", "id")
    found = data.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1000, 50, 0o2750)


def test_without_ownership_options_the_image_decides(house: House) -> None:
    """Copy-up's owner and mode stay where nothing else was asked for (fact 13)."""
    house.volumes.create("v", None)
    house.data("v").chmod(0o1777)
    house.volumes.mount("v", "id")
    assert house.data("v").stat().st_mode & 0o7777 == 0o1777


def test_a_mount_needs_an_id(house: House) -> None:
    """A Mount or Unmount without an ID could never be matched, so it is refused."""
    house.volumes.create("v", None)
    for mount_id in ("", "x" * 257):
        with pytest.raises(BadRequest, match="volume 'v' cannot be mounted or unmounted: the request has no mount ID"):
            house.volumes.mount("v", mount_id)


def test_change_keeps_options_that_cannot_be_changed(house: House) -> None:
    """Ownership and policy can change; where the data is cannot."""
    house.volumes.create("v", None)
    changed = house.volumes.change("v", {"uid": "alice", "on_remove": "keep"})
    assert changed.spec == VolumeSpec(uid=1000, on_remove=changed.spec.on_remove)
    assert house.manifest("v")["spec"] == {"uid": 1000, "on_remove": "keep"}
    with pytest.raises(BadOption, match="volume 'v' cannot be changed: option path cannot be changed after creation"):
        house.volumes.change("v", {"path": "/srv/x"})
    with pytest.raises(BadOption, match="volume 'v' cannot be changed: unknown option 'uidd'; did you mean 'uid'"):
        house.volumes.change("v", {"uidd": "1"})


def test_an_adopted_path_stays_where_it_is(house: House, tmp_path: Path) -> None:
    """`path=` uses a directory in its place, and removing the volume leaves it there."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old/file").write_text("kept")
    house.volumes.create("v", {"path": str(tmp_path / "old")})
    assert house.volumes.mount("v", "id") == str(tmp_path / "old")
    assert "its path stays" in house.volume_status.status(house.volumes.get("v"))["on_remove"]
    house.volumes.remove("v")
    assert (tmp_path / "old/file").read_text() == "kept"
    house.trash.undelete("v")
    assert house.volumes.mount("v", "id") == str(tmp_path / "old")


def test_a_path_that_became_a_symlink_is_refused(house: House, tmp_path: Path) -> None:
    """If a symlink replaces an adopted directory, pyvol does not follow it."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    house.volumes.create("v", {"path": str(tmp_path / "a")})
    (tmp_path / "a").rmdir()
    (tmp_path / "a").symlink_to(tmp_path / "b")
    with pytest.raises(StorageFailed, match=r"volume 'v'.*symlink"):
        house.volumes.mount("v", "id")


def test_paths_may_not_overlap(house: House, tmp_path: Path) -> None:
    """A path that another volume has, or that is inside or above another volume's path, is refused."""
    (tmp_path / "a/b").mkdir(parents=True)
    house.volumes.create("v", {"path": str(tmp_path / "a")})
    for path in ("a", "a/b", "."):
        with pytest.raises(BadOption, match=r"volume 'w' cannot be created: path .* overlaps with .* of volume 'v'"):
            house.volumes.create("w", {"path": str(tmp_path / path)})
    house.volumes.create("v", {"path": str(tmp_path / "a")})


def test_a_path_that_another_is_just_getting_is_taken(house: House) -> None:
    """A creation that ends between the check of the catalog and that check of reservations is seen."""
    adopted, spec = AdoptedDirectories(house.catalog, house.locks, house.shared_pools), VolumeSpec(path="/srv/x")
    with ExitStack() as creation:
        creation.enter_context(adopted.reserve("v", spec))

        def ends() -> None:
            house.catalog.save(Volume("f" * 16, "v", spec, house.clock(), Phase.READY))
            creation.close()

        house.catalog.after("live", 1, ends)
        with pytest.raises(BadOption, match=r"overlaps with .* of volume 'v'"), adopted.reserve("w", spec):
            pass


def test_create_takes_back_what_the_catalog_cannot_record(house: House) -> None:
    """A full disk under the catalog leaves no half-made volume behind (promise 2)."""
    with house.catalog.full(), pytest.raises(CatalogFailed):
        house.volumes.create("v", None)
    assert list((house.root / "pool/volumes").iterdir()) == []
    house.volumes.create("v", None)


def test_an_unmount_succeeds_although_detach_fails(scratch: Path) -> None:
    """An error would make the engine keep ID and count until its restart (fact 37)."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("v", None)
    house.volumes.mount("v", "id")
    pool.failing["detach"] = "volume 'v': busy"
    house.volumes.unmount("v", "id")
    assert house.volume_status.claims() == []
    assert house.volume_status.health(house.volumes.get("v")) == "volume 'v': busy"
    house.close()


def test_activate_waits_for_nothing(house: House) -> None:
    """An engine whose Activate hangs does not start (fact 33): not even a write that is stuck holds it up."""
    with house.catalog._lock:
        house.volumes.activate()
    assert house.woken == 1


def test_what_is_in_use_is_not_detached(scratch: Path) -> None:
    """A claim can be lost to `docker cp` after a live-restore; the kernel knows better (facts 9 and 40)."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("v", None)
    pid = house.kernel.run(house.volumes.mount("v", "container"))
    house.volumes.activate()
    house.volumes.mount("v", "container")
    house.volumes.unmount("v", "container")
    assert pool.mounted == {"v"}
    house.kernel.end(pid)
    house.volumes.unmount("v", "container")  # of the container's own end: its claim went with the copy
    assert pool.mounted == set()
    house.close()


def test_create_again_is_a_success_with_its_path_gone(house: House, tmp_path: Path) -> None:
    """An engine's retry is answered from what is known (fact 12)."""
    (tmp_path / "a").mkdir()
    house.volumes.create("v", {"path": str(tmp_path / "a")})
    (tmp_path / "a").rmdir()
    house.volumes.create("v", {"path": str(tmp_path / "a")})


def test_volumes_are_listed_by_name(house: House) -> None:
    """List has each volume once, in order (fact 31)."""
    for name in ("b", "a", "C"):
        house.volumes.create(name, None)
    assert house.names() == ["C", "a", "b"]


def test_specs_have_no_nulls_on_disk() -> None:
    """A manifest has the options that were set, and no defaults."""
    assert msgspec.json.encode(VolumeSpec()) == b"{}"


def test_exclusive_is_for_pools_that_others_have(house: House) -> None:
    """A promise that means nothing is refused."""
    with pytest.raises(BadOption, match="access=exclusive is only for NFS pools: no other host has pool 'default'"):
        house.volumes.create("v", {"access": "exclusive"})


def test_a_busy_volume_delays_no_other_unmount(scratch: Path) -> None:
    """The background thread continues with the next volume, and tries the busy one again later."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool}, lock_wait_s=0.05)
    for name in ("v", "w"):
        house.volumes.create(name, None)
    pool.mounted |= {"v", "w"}
    with house.locks.hold("v"):
        house.core.detacher.detach_all()
    assert pool.mounted == {"v"}
    house.core.detacher.detach_all()
    assert pool.mounted == set()


def test_what_is_claimed_stays_attached(scratch: Path) -> None:
    """Only what an Unmount left behind is detached later."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    for name in ("used", "left"):
        house.volumes.create(name, None)
        house.volumes.mount(name, "id")
    pool.failing["detach"] = "it is busy"
    house.volumes.unmount("left", "id")
    del pool.failing["detach"]
    house.core.detacher.detach_all()
    assert pool.mounted == {"used"}
    house.close()
