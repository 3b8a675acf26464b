"""Mounted volumes of this host's own: the real kernel mounts them."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fakes import FakeLog, FakeMounts
from house import House
from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import MountUser
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.local.pool import LocalPool
from pyvol.storage.mounts.volume_mounts import MountedVolumes
from pyvol.storage.nfs import worker
from pyvol.storage.paths.allowed import AdoptablePaths
from pyvol.storage.remote.servers import Servers

SCRATCH = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=700", "uid": "1000"}


class RealUsers(FakeMounts):
    """A kernel whose table of mounts is the real one."""

    def users(self, path: str) -> Sequence[MountUser]:
        """See `pyvol.core.ports.host.MountTable`."""
        return KernelMounts().users(path)


@pytest.fixture
def kernel() -> FakeMounts:
    """The kernel that is asked who uses a volume."""
    return FakeMounts()


@pytest.fixture
def mounting(scratch: Path, kernel: FakeMounts) -> Iterator[House]:
    """A house whose pool mounts."""
    root = str(scratch / "pool")
    servers = Servers(5, FakeLog(), worker=worker.__name__)
    mounted = MountedVolumes(f"{root}/mounts", servers, KernelMounts())
    pool = LocalPool("default", root, "host-1", AdoptablePaths([root], [], KernelMounts()), mounted)
    pool.prepare()
    house = House(scratch, pools={"default": pool}, kernel=kernel)
    yield house
    for name in mounted.attached():
        subprocess.run(["umount", f"{root}/mounts/{name}"], check=True)
    house.close()


def attached(house: House) -> set[str]:
    """The names of what is mounted."""
    return set(house.pools["default"].attached())


def test_one_mount_for_all_containers_gone_after_the_last(mounting: House) -> None:
    """A mounted volume is one mount; what is in it is shared."""
    mounting.volumes.create("v", SCRATCH)
    assert attached(mounting) == set()
    mountpoint = Path(mounting.volumes.mount("v", "one"))
    (mountpoint / "file").write_text("shared")
    assert mounting.volumes.mount("v", "two") == str(mountpoint)
    assert mountpoint.parent.stat().st_mode & 0o777 == 0o711  # who has which volumes is not for all to list
    assert (mountpoint / "file").read_text() == "shared"
    assert (mountpoint.stat().st_uid, mountpoint.stat().st_mode & 0o777) == (1000, 0o700)
    mounting.volumes.unmount("v", "one")
    assert attached(mounting) == {"v"}
    mounting.volumes.unmount("v", "two")
    assert attached(mounting) == set()
    assert not mountpoint.exists()


def test_a_mount_under_a_container_stays(mounting: House) -> None:
    """A claim can be lost; what the kernel says is in use is not detached (fact 40), until nobody uses it."""
    mounting.volumes.create("v", SCRATCH)
    mountpoint = mounting.volumes.mount("v", "one")
    pid = mounting.kernel.run(mountpoint)
    mounting.volumes.unmount("v", "one")
    assert attached(mounting) == {"v"}
    mounting.kernel.end(pid)
    mounting.core.detacher.detach_all()
    assert attached(mounting) == set()


def test_a_refused_mount_leaves_nothing(mounting: House) -> None:
    """The error is mount's own sentence, with the volume's name."""
    mounting.volumes.create("v", {**SCRATCH, "o": "size=nonsense"})
    with pytest.raises(StorageFailed, match="volume 'v' cannot be mounted from tmpfs"):
        mounting.volumes.mount("v", "one")
    assert not Path(mounting.volumes.mountpoint(mounting.volumes.get("v"))).exists()


def test_a_bind_with_options_is_a_mount(mounting: House, tmp_path: Path) -> None:
    """`o=bind,ro` shows a directory that can't be written."""
    (tmp_path / "file").write_text("there")
    mounting.volumes.create("v", {"type": "none", "device": str(tmp_path), "o": "bind,ro"})
    mountpoint = Path(mounting.volumes.mount("v", "one"))
    assert (mountpoint / "file").read_text() == "there"
    with pytest.raises(OSError, match="Read-only"):
        (mountpoint / "other").write_text("")


@pytest.mark.parametrize("kernel", [RealUsers()])
def test_a_bind_of_a_whole_disk_is_unmounted_after_its_last_container(mounting: House, tmp_path: Path) -> None:
    """The host's own mount of the disk is not a use of the volume: it blocks no unmount and no removal."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], check=True)
    try:
        mounting.volumes.create("v", {"type": "none", "device": str(tmp_path), "o": "bind,ro"})
        mounting.volumes.mount("v", "one")
        mounting.volumes.unmount("v", "one")
        assert attached(mounting) == set()
        mounting.volumes.mount("v", "two")
        mounting.volumes.remove("v")
        assert attached(mounting) == set()
        assert KernelMounts().is_mountpoint(str(tmp_path))
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_removal_detaches_and_keeps_the_record(mounting: House) -> None:
    """Claims that nobody will release do not keep a mount alive; the options come back with undelete."""
    mounting.volumes.create("v", SCRATCH)
    mounting.volumes.mount("v", "one")
    mounting.volumes.remove("v")
    assert attached(mounting) == set()
    restored = mounting.trash.undelete("v")
    assert restored.spec.o == SCRATCH["o"]
    mounting.volumes.mount("v", "two")


def test_status_says_what_stays(mounting: House) -> None:
    """Nothing of what is mounted is deleted by removing the volume."""
    mounting.volumes.create("v", SCRATCH)
    summary = mounting.volume_status.status(mounting.volumes.get("v"))["on_remove"]
    assert summary == "its data stays, its record goes to the trash, for 7d"
