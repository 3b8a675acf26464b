"""A directory of the host under three paths: the host's, our own, and the engine's."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_pools import READY

from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.model import Volume
from pyvol.host import binds
from pyvol.host.mounts import KernelMounts
from pyvol.storage.local import LocalPool
from pyvol.storage.paths import AdoptablePaths
from pyvol.storage.windows import Window, Windows


def mounts_at(target: Path) -> int:
    """How many mounts there are at a place, one above the other."""
    return sum(mount.mountpoint == str(target) for mount in KernelMounts().read("self"))


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Path]:
    """Where a directory may be shown; what is mounted there goes with the test."""
    target = tmp_path / "shown"
    yield target
    while mounts_at(target):
        subprocess.run(["umount", "--lazy", target], check=True)


def test_a_window_opens_once(tmp_path: Path, shown: Path) -> None:
    """However often it is opened, by this process or the next, there is one mount."""
    (tmp_path / "here").mkdir()
    for _ in range(2):
        window = Window(str(tmp_path / "here"), str(shown), "/host")
        window.open()
        window.open()
    (tmp_path / "here/file").touch()
    assert (shown / "file").exists()
    assert mounts_at(shown) == 1


def test_another_directory_takes_the_place(tmp_path: Path, shown: Path) -> None:
    """Where an earlier one is still shown, as after the exchange of a disk, the one that is meant replaces it."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
        binds.show(str(tmp_path / name), str(shown))
    assert [entry.name for entry in shown.iterdir()] == ["new"]
    assert mounts_at(shown) == 1


def test_three_paths_of_one_directory() -> None:
    """The engine's and the host's are told of ours; what lies in no window has one path."""
    windows = Windows([Window("/var/lib/pyvol", "/mnt/pyvol/pools/default", "/srv/volumes")])
    ours = "/var/lib/pyvol/volumes/v/_data"
    assert windows.engine_path(ours) == "/mnt/pyvol/pools/default/volumes/v/_data"
    assert windows.host_path(ours) == "/srv/volumes/volumes/v/_data"
    assert windows.engine_path("/var/lib/pyvolumes") == "/var/lib/pyvolumes"


def test_a_host_that_cannot_be_seen() -> None:
    """Without the host's paths ours are told, and none of the host's is taken."""
    window = Window("/paths", "/mnt/pyvol/paths", None)
    assert Windows([window]).host_path("/paths/a") == "/paths/a"
    with pytest.raises(StorageFailed, match="pidhost"):
        window.inward("/srv/a")


def test_what_a_window_does_not_show_is_refused(tmp_path: Path) -> None:
    """Another directory, one reached through `..`, and one that a symlink leads to."""
    (tmp_path / "paths/inside").mkdir(parents=True)
    (tmp_path / "paths/out").symlink_to("/etc")
    rules = AdoptablePaths([], [], Window(str(tmp_path / "paths"), str(tmp_path / "shown"), "/srv"))
    assert rules.resolve("/srv/inside") == "/srv/inside"
    for path, reason in (
        ("/home/me", "is not in /srv"),
        ("/srv/../etc", "is not in /srv"),
        ("/srv/out", "a symlink leads out"),
    ):
        with pytest.raises(BadOption, match=reason):
            rules.resolve(path)


def test_a_path_that_is_no_longer_shown(scratch: Path) -> None:
    """Its volume is listed with the path that it has, and mounting it says what to set."""
    rules = AdoptablePaths([], [], Window("/paths", "/mnt/pyvol/paths", "/data"))
    pool = LocalPool("default", str(scratch / "pool"), "host-1", rules)
    volume = Volume(READY.id, "v", READY.spec.__class__(path="/srv/photos"), READY.created, READY.phase)
    assert pool.mountpoint(volume) == "/srv/photos"
    with pytest.raises(StorageFailed, match=r"volume 'v': /srv/photos is not in /data.*paths\.source"):
        pool.attach(volume)


def test_the_hosts_path_is_read_from_its_mounts(tmp_path: Path) -> None:
    """The one of process 1 that shows the same directory, and not one that another mount hides."""
    real = tmp_path / "srv/photos"
    real.mkdir(parents=True)
    for pid, lines in (
        ("self", [f"9 1 8:1 /srv/photos {real} rw - ext4 d rw"]),
        ("1", ["1 0 8:2 / /boot rw - ext4 d rw", "2 0 8:1 / /hidden rw - ext4 d rw", "3 0 8:1 / / rw - ext4 d rw"]),
    ):
        (tmp_path / "proc" / pid).mkdir(parents=True)
        (tmp_path / "proc" / pid / "mountinfo").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "proc/1/root").symlink_to(tmp_path)
    assert binds.place_on_host(str(real), str(tmp_path / "proc")) == "/srv/photos"
    assert binds.place_on_host(str(tmp_path), str(tmp_path / "proc")) is None
    (tmp_path / "proc/1/root").unlink()
    assert binds.place_on_host(str(real), str(tmp_path / "proc")) is None


def test_a_mount_that_fails_is_told(tmp_path: Path) -> None:
    """With the volume, and what mount(8) said."""
    windows = Windows([Window(str(tmp_path / "absent"), str(tmp_path / "shown"), None)])
    with pytest.raises(StorageFailed, match=r"volume 'v': could not show it to the engine.*absent"):
        windows.show(str(tmp_path / "absent/v"), "v")
