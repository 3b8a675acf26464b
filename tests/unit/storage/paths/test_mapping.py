"""A directory of the host under three paths: the host's, our own, and the engine's."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.model.volume import Phase, Volume, VolumeSpec
from pyvol.host.mounts import bind
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.local.pool import LocalPool
from pyvol.storage.paths.allowed import AdoptablePaths
from pyvol.storage.paths.mapping import MappedDirectories, MappedDirectory

READY = Volume("0123456789abcdef", "v", VolumeSpec(mode=0o700), datetime(2026, 1, 31, 12, tzinfo=UTC), Phase.READY)

MOUNTS = KernelMounts()


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


def test_a_directory_is_shown_once(tmp_path: Path, shown: Path) -> None:
    """However often it is shown, by this process or the next, there is one mount."""
    (tmp_path / "here").mkdir()
    for _ in range(2):
        directory = MappedDirectory(str(tmp_path / "here"), str(shown), "/host", MOUNTS)
        directory.show()
        directory.show()
    (tmp_path / "here/file").touch()
    assert (shown / "file").exists()
    assert mounts_at(shown) == 1


def test_another_directory_takes_the_place(tmp_path: Path, shown: Path) -> None:
    """After a disk was replaced, its old mount is still shown; the new one replaces it."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
        bind.show(str(tmp_path / name), str(shown), MOUNTS)
    assert [entry.name for entry in shown.iterdir()] == ["new"]
    assert mounts_at(shown) == 1


def test_three_paths_of_one_directory() -> None:
    """A path in a mapped directory has an engine's path and a host's path; others are the same everywhere."""
    mapping = MappedDirectories([MappedDirectory("/var/lib/pyvol", "/mnt/pyvol/pools/default", "/srv/volumes", MOUNTS)])
    ours = "/var/lib/pyvol/volumes/v/_data"
    assert mapping.engine_path(ours) == "/mnt/pyvol/pools/default/volumes/v/_data"
    assert mapping.host_path(ours) == "/srv/volumes/volumes/v/_data"
    assert mapping.engine_path("/var/lib/pyvolumes") == "/var/lib/pyvolumes"


def test_a_host_that_cannot_be_seen() -> None:
    """If the host's paths are unknown, pyvol shows its own paths, and refuses a path of the host."""
    directory = MappedDirectory("/paths", "/mnt/pyvol/paths", None, MOUNTS)
    assert MappedDirectories([directory]).host_path("/paths/a") == "/paths/a"
    with pytest.raises(StorageFailed, match="pidhost"):
        directory.inward("/srv/a")


def test_what_the_plugin_is_not_shown_is_refused(tmp_path: Path) -> None:
    """Another directory, one reached through `..`, and one that a symlink leads to."""
    (tmp_path / "paths/inside").mkdir(parents=True)
    (tmp_path / "paths/out").symlink_to("/etc")
    rules = AdoptablePaths(
        [], [], MOUNTS, MappedDirectory(str(tmp_path / "paths"), str(tmp_path / "shown"), "/srv", MOUNTS)
    )
    assert rules.resolve("/srv/inside") == "/srv/inside"
    for path, reason in (
        ("/home/me", "is not in /srv"),
        ("/srv/../etc", "is not in /srv"),
        ("/srv/out", "a symlink leads out"),
    ):
        with pytest.raises(BadOption, match=reason):
            rules.resolve(path)


def test_a_volume_of_the_engines_is_known_by_the_hosts_path(tmp_path: Path) -> None:
    """Whichever directory that holds it is shown; where none does, the one to set is named."""
    (tmp_path / "paths/data/_data").mkdir(parents=True)
    volumes = "/var/lib/docker/volumes"
    here = str(tmp_path / "paths")
    rules = AdoptablePaths(["/var/lib/pyvol"], [], MOUNTS, MappedDirectory(here, "/mnt/pyvol/paths", volumes, MOUNTS))
    assert rules.resolve_engines(f"{volumes}/data/_data") == f"{volumes}/data/_data"
    rules = AdoptablePaths(
        [f"{volumes}/data/_data/pool"], [], MOUNTS, MappedDirectory(here, "/mnt/pyvol/paths", volumes, MOUNTS)
    )
    with pytest.raises(BadOption, match="overlaps with pyvol's own directory"):
        rules.resolve_engines(f"{volumes}/data/_data")
    rules = AdoptablePaths([], [], MOUNTS, MappedDirectory(here, "/mnt/pyvol/paths", "/srv", MOUNTS))
    with pytest.raises(BadOption, match=r"is not in /srv.*such as /var/lib/docker/volumes, "):
        rules.resolve_engines(f"{volumes}/data/_data")


def test_a_path_that_is_no_longer_shown(scratch: Path) -> None:
    """Its volume is listed with the path that it has, and mounting it says what to set."""
    rules = AdoptablePaths([], [], MOUNTS, MappedDirectory("/paths", "/mnt/pyvol/paths", "/data", MOUNTS))
    pool = LocalPool("default", str(scratch / "pool"), "host-1", rules)
    volume = Volume(READY.id, "v", READY.spec.__class__(path="/srv/photos"), READY.created, READY.phase)
    assert pool.mountpoint(volume) == "/srv/photos"
    with pytest.raises(
        StorageFailed,
        match=r"volume 'v' cannot be used: path /srv/photos cannot be used: it is not in /data.*paths\.source",
    ):
        pool.attach(volume)


def write_process(directory: Path, parent: int, namespace: str, mounts: list[str]) -> None:
    """Write the files that /proc has of a process."""
    (directory / "ns").mkdir(parents=True)
    (directory / "ns/mnt").symlink_to(namespace)
    (directory / "stat").write_text(f"1 (a) b) S {parent} 1 1")
    (directory / "mountinfo").write_text("".join(f"{line}\n" for line in mounts))


def test_the_hosts_path_is_read_from_its_mounts(tmp_path: Path) -> None:
    """It is the parent process' visible mount of the same directory, not one that another mount hides."""
    real = tmp_path / "srv/photos"
    real.mkdir(parents=True)
    write_process(tmp_path / "proc/self", 7, "ours", [f"9 1 8:1 /srv/photos {real} rw shared:4 - ext4 d rw"])
    write_process(tmp_path / "proc/7", 1, "ours", [])
    write_process(
        tmp_path / "proc/1",
        0,
        "host's",
        ["1 0 8:2 / /boot rw - ext4 d rw", "2 0 8:1 / /hidden rw - ext4 d rw", "3 0 8:1 / / rw - ext4 d rw"],
    )
    (tmp_path / "proc/1/root").symlink_to(tmp_path)
    assert bind.place_on_host(str(real), KernelMounts(str(tmp_path / "proc"))) == "/srv/photos"
    assert bind.place_on_host(str(tmp_path), KernelMounts(str(tmp_path / "proc"))) is None
    (tmp_path / "proc/1/root").unlink()
    assert bind.place_on_host(str(real), KernelMounts(str(tmp_path / "proc"))) is None


def test_a_mount_that_fails_is_reported(tmp_path: Path) -> None:
    """With the volume, and what mount(8) said."""
    mapping = MappedDirectories([MappedDirectory(str(tmp_path / "absent"), str(tmp_path / "shown"), None, MOUNTS)])
    with pytest.raises(StorageFailed, match=r"volume 'v' cannot be shown to the engine.*absent"):
        mapping.show(str(tmp_path / "absent/v"), "v")


@pytest.mark.parametrize(("group", "reaches"), [("shared:4", True), ("shared:5", False), ("master:4", False)])
def test_what_is_shared_reaches_the_host(tmp_path: Path, group: str, *, reaches: bool) -> None:
    """A mount in a peer group that the host has none of is seen here alone (fact 43)."""
    write_process(tmp_path / "self", 1, "ours", [f"9 1 8:1 /p /mnt/pyvol rw {group} - ext4 d rw"])
    write_process(tmp_path / "1", 0, "host's", ["3 0 8:1 / / rw shared:4 - ext4 d rw", "4 3 8:2 / /x rw - ext4 d rw"])
    assert bind.reaches_host("/mnt/pyvol", KernelMounts(str(tmp_path))) is reaches
    assert bind.reaches_host("/elsewhere", KernelMounts(str(tmp_path)))


def test_a_host_is_an_ancestor_elsewhere() -> None:
    """A process in its parent's mount namespace has no host; another one has the process that moved it."""
    assert KernelMounts().host() is None
    code = "from pyvol.host.mounts.table import KernelMounts; print(KernelMounts().host())"
    asked = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert asked.stdout == f"{os.getpid()}\n"


def test_each_path_is_mapped_by_the_directory_that_has_it() -> None:
    """Pools and adopted paths have a directory each; a path in none of them is the same everywhere."""
    pool, paths = (MappedDirectory(f"/here/{name}", f"/shown/{name}", f"/host/{name}", MOUNTS) for name in "ab")
    mapped = MappedDirectories([pool], paths)
    for name in "ab":
        assert mapped.engine_path(f"/here/{name}/v") == f"/shown/{name}/v"
        assert mapped.host_path(f"/here/{name}/v") == f"/host/{name}/v"
    assert mapped.engine_path("/else/v") == mapped.host_path("/else/v") == "/else/v"
