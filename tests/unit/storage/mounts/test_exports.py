"""Mounted volumes on exports, and the path of an export that is created with its volume."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from exports import Exports
from house import House
from pyvol.core.errors import StorageFailed
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.local.pool import LocalPool
from pyvol.storage.mounts.volume_mounts import MountedVolumes
from pyvol.storage.nfs import mount_requests
from pyvol.storage.paths.allowed import AdoptablePaths
from pyvol.storage.remote.messages import Request
from pyvol.storage.remote.mount_messages import MountExport, OwnMount, Unmount

ON_EXPORT = {"type": "nfs", "device": ":/data", "o": "addr=nas.lan,soft"}


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exports]:
    """A server with the export /data."""
    made = Exports(tmp_path / "nas", monkeypatch)
    (made.exported / "data").mkdir()
    yield made
    made.close()


@pytest.fixture
def house(tmp_path: Path, exports: Exports) -> Iterator[House]:
    """A house whose pool mounts exports."""
    root = str(tmp_path / "pool")
    mounted = MountedVolumes(f"{root}/mounts", cast("Any", exports), KernelMounts())
    pool = LocalPool("default", root, "host-1", AdoptablePaths([root], [], KernelMounts()), mounted)
    pool.prepare()
    made = House(tmp_path, pools={"default": pool})
    yield made
    made.close()


def attached(house: House) -> set[str]:
    """Return the names of what is mounted."""
    return set(house.pools["default"].attached())


def report(house: House) -> dict[str, str]:
    """Return what the pool reports of volume v."""
    return dict(house.pools["default"].report(house.volumes.get("v")))


def test_one_mount_of_an_export_for_all_containers(house: House, exports: Exports) -> None:
    """The first Mount mounts it; each later one sets its owner again; the last Unmount unmounts it."""
    house.volumes.create("v", {**ON_EXPORT, "uid": "1000", "mode": "0700"})
    assert "room" not in report(house)
    place = Path(house.volumes.mount("v", "one"))
    assert exports.calls() == ["soft,fg,retry=0 nas.lan:/data"]
    (place / "file").write_text("shared")
    assert (exports.exported / "data/file").read_text() == "shared"
    os.chown(exports.exported / "data", 0, 0)
    assert house.volumes.mount("v", "two") == str(place)
    found = (exports.exported / "data").stat()
    assert (found.st_uid, found.st_mode & 0o777) == (1000, 0o700)
    assert len(exports.calls()) == 1
    assert report(house)["room"].endswith("when it was last mounted")
    assert [condition.well for condition in house.pools["default"].condition()] == [True]
    house.volumes.unmount("v", "one")
    assert attached(house) == {"v"}
    house.volumes.unmount("v", "two")
    assert attached(house) == set()
    assert not place.exists()
    assert set(report(house)) == {"server"}
    assert (exports.exported / "data/file").read_text() == "shared"


@pytest.mark.parametrize(("code", "is_mounted_again"), [(errno.ESTALE, True), (errno.EIO, False)])
def test_only_a_stale_mount_is_mounted_again(
    house: House, exports: Exports, code: int, *, is_mounted_again: bool
) -> None:
    """Only ESTALE says that the mount is lost. After any other error it stays, and the Mount fails."""
    house.volumes.create("v", ON_EXPORT)
    house.volumes.mount("v", "one")

    def fail(request: Request) -> None:
        if isinstance(request, OwnMount):
            raise StorageFailed("could not use what is mounted") from OSError(code, os.strerror(code))

    exports.server.asked = fail
    if is_mounted_again:
        house.volumes.mount("v", "two")
    else:
        with pytest.raises(StorageFailed, match="volume 'v' cannot be mounted: could not use what is mounted"):
            house.volumes.mount("v", "two")
    assert len(exports.calls()) == 1 + is_mounted_again
    assert attached(house) == {"v"}


def test_a_refused_export_leaves_nothing(house: House, exports: Exports) -> None:
    """The error is the server's sentence, with the name of the volume."""
    house.volumes.create("v", ON_EXPORT)
    exports.refuse("mount.nfs: access denied by server while mounting nas.lan:/data")
    with pytest.raises(
        StorageFailed, match=r"volume 'v' cannot be mounted from nas.lan:/data: .*access denied by server"
    ):
        house.volumes.mount("v", "one")
    assert attached(house) == set()
    assert not Path(house.volumes.mountpoint(house.volumes.get("v"))).exists()


def test_an_export_of_a_dead_server_is_detached(house: House, exports: Exports) -> None:
    """Without the server: a normal unmount would hang. The Status names the server until it is back."""
    house.volumes.create("v", ON_EXPORT)
    house.volumes.mount("v", "one")
    volume = house.volumes.get("v")
    assert house.pools["default"].problem(volume) == ""
    exports.nas.stop()
    exports.server._answered_at = 0.0
    with pytest.raises(StorageFailed, match=r"volume 'v' cannot be mounted: 127.0.0.1:\d+ does not answer"):
        house.volumes.mount("v", "two")
    assert "does not answer" in house.pools["default"].problem(volume)
    exports.server.requests.clear()
    house.volumes.unmount("v", "one")
    assert attached(house) == set()
    assert exports.server.requests == [Unmount.__name__]


def export(tmp_path: Path, path: str, *, create: bool = True, mode: int | None = None) -> MountExport:
    """Return the request to mount a path of the server."""
    return MountExport("v", "nfs", "nas.lan", path, "", str(tmp_path / "mounts/v"), create, mode=mode)


def test_the_path_of_an_export_is_created(tmp_path: Path, exports: Exports) -> None:
    """Through the nearest directory above it that can be mounted, even if a killed attempt left a mount."""
    for _ in range(2):
        (tmp_path / "mounts/.v").mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "mounts/.v"], check=True)
    mount_requests.mount_export(export(tmp_path, "/data/team/a"))
    assert [call.partition(":")[2] for call in exports.calls()] == [
        "/data/team/a",
        "/data/team",
        "/data",
        "/data/team/a",
    ]
    (tmp_path / "mounts/v/file").touch()
    assert (exports.exported / "data/team/a/file").exists()
    assert [place.name for place in (tmp_path / "mounts").iterdir()] == ["v"]


def test_a_path_is_created_only_if_that_was_asked_for(tmp_path: Path, exports: Exports) -> None:
    """The root of a server cannot be created either."""
    with pytest.raises(StorageFailed, match=r"volume 'v' cannot be mounted from nas.lan:/data/a: .*No such file"):
        mount_requests.mount_export(export(tmp_path, "/data/a", create=False))
    exports.exported.rename(tmp_path / "gone")
    with pytest.raises(StorageFailed, match=r"cannot be mounted from nas.lan:/: .*No such file"):
        mount_requests.mount_export(export(tmp_path, "/"))
    assert len(exports.calls()) == 2


def test_a_server_that_has_nothing_is_reported_with_the_path_that_was_asked_for(
    tmp_path: Path, exports: Exports
) -> None:
    """Not with the directories above it that pyvol tried."""
    exports.exported.rename(tmp_path / "gone")
    with pytest.raises(
        StorageFailed, match=r"cannot be mounted from nas.lan:/data/a: .*nas.lan:/data/a failed.*No such file"
    ):
        mount_requests.mount_export(export(tmp_path, "/data/a"))
    assert [call.partition(":")[2] for call in exports.calls()] == ["/data/a", "/data", "/"]


def test_another_error_on_the_way_up_ends_the_search(tmp_path: Path, exports: Exports) -> None:
    """The server may have gone away in between."""
    exports.refuse("mount.nfs: Connection refused", later=True)
    with pytest.raises(StorageFailed, match="Connection refused"):
        mount_requests.mount_export(export(tmp_path, "/data/a"))
    assert len(exports.calls()) == 2
    assert not (tmp_path / "mounts/.v").exists()


def test_a_path_below_a_read_only_directory_is_named(tmp_path: Path, exports: Exports) -> None:
    """With NFSv4 the directories above the exports can be mounted, and nothing can be created there."""
    exports.make_read_only()
    with pytest.raises(StorageFailed, match=r"nas.lan has no /data/a, and /data is read-only there; correct the path"):
        mount_requests.mount_export(export(tmp_path, "/data/a"))
    assert [place.name for place in (tmp_path / "mounts").iterdir()] == ["v"]


def test_a_path_through_a_file_is_refused(tmp_path: Path, exports: Exports) -> None:
    """The server has a file where a directory is needed, and pyvol does not change it."""
    (exports.exported / "data/file").write_text("kept")
    with pytest.raises(StorageFailed, match=r"cannot be mounted from nas.lan:/data/file/a: .*Not a directory"):
        mount_requests.mount_export(export(tmp_path, "/data/file/a"))
    assert (exports.exported / "data/file").read_text() == "kept"


def test_a_mount_whose_owner_cannot_be_set_is_unmounted(tmp_path: Path, exports: Exports) -> None:
    """Otherwise it would stay without a claim."""
    exports.make_read_only()
    with pytest.raises(StorageFailed, match=r"volume 'v' cannot be used: Read-only"):
        mount_requests.mount_export(export(tmp_path, "/data", mode=0o700))
    assert not KernelMounts().is_mountpoint(str(tmp_path / "mounts/v"))
