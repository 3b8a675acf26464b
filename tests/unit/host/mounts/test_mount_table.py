"""Who has a directory mounted, told from the tables of kernels that no test has: of NFS, of a managed plugin's host."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pyvol.host.mounts.table import KernelMounts

TABLE = """\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:33 / /pools/nas rw - nfs4 nas.lan:/pool rw,addr=10.0.0.1
3 1 0:33 / /mounts/e rw - nfs4 nas.lan:/plain rw,addr=10.0.0.1
4 1 0:33 / /mounts/root rw - nfs4 nas.lan:/ rw,addr=10.0.0.1
"""
CONTAINERS = "9 0 0:99 / / rw - overlay overlay rw\n"


def write_tables(proc: Path, tables: Mapping[str, str]) -> None:
    """Be a /proc with processes that see these mounts, each in a namespace of its own."""
    for pid, table in tables.items():
        process = proc / pid
        (process / "ns").mkdir(parents=True)
        (process / "ns/mnt").symlink_to(f"mnt:[{pid}]")
        (process / "mountinfo").write_text(table)
        (process / "comm").write_text("sleep\n")
        (process / "stat").write_text(f"{pid} (sleep) S {int(pid == 'self')} 0")


@pytest.mark.parametrize(
    ("path", "used"),
    [
        ("/pools/nas/volumes/v/_data", True),
        ("/pools/nas/volumes/v", True),
        ("/pools/nas/volumes/v1/_data", False),
        ("/pools/nas/volumes/v/_data/sub", False),
        ("/mounts/e", False),
    ],
)
def test_a_bind_of_an_nfs_directory_is_known_by_its_source(tmp_path: Path, path: str, used: bool) -> None:  # noqa: FBT001
    """The kernel says / for the root of every NFS mount, binds included; and a dead server's is never opened."""
    bind = "10 9 0:33 / /data rw - nfs4 nas.lan:/pool/volumes/v/_data rw\n"
    write_tables(tmp_path, {"self": TABLE, "77": CONTAINERS + bind})
    users = KernelMounts(str(tmp_path)).users(path)
    assert [(user.pid, user.mountpoint) for user in users] == ([(77, "/data")] if used else [])


def test_what_a_plugin_shows_the_host_comes_along_with_the_hosts_root(tmp_path: Path) -> None:
    """A managed plugin has a root of its own; what a monitor has of the host's is no use, a container's bind is."""
    shown = "0:33 / {} rw - nfs4 nas.lan:/plain rw\n"
    write_tables(
        tmp_path,
        {
            "self": "1 0 0:50 / / rw - overlay overlay rw\n2 1 " + shown.format("/mounts/e"),
            "1": "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 " + shown.format("/docker/plugin/mounts/e"),
            "77": "1 0 0:60 / / rw - overlay overlay rw\n2 1 8:1 / /host ro - ext4 /dev/sda1 ro\n"
            "3 2 " + shown.format("/host/docker/plugin/mounts/e"),
            "78": "1 0 0:70 / / rw - overlay overlay rw\n2 1 " + shown.format("/data"),
        },
    )
    assert [user.pid for user in KernelMounts(str(tmp_path)).users("/mounts/e")] == [78]


def test_whose_container_it_is_of_two_mounts_of_one_export_cannot_be_told(tmp_path: Path) -> None:
    """Nothing is lost by removing one of two volumes of one export: what is on the server stays."""
    table = TABLE + "5 1 0:33 / /mounts/f rw - nfs4 nas.lan:/plain rw,addr=10.0.0.1\n"
    write_tables(tmp_path, {"self": table})
    assert KernelMounts(str(tmp_path)).users("/mounts/e") == []


@pytest.mark.parametrize("uses", [True, False])
def test_an_export_that_the_host_has_mounted_too_is_used_by_containers_alone(tmp_path: Path, *, uses: bool) -> None:
    """A mount in fstab stays when the volume's goes; it would keep the volume from ever being removed."""
    bind = "10 9 0:33 / /data rw - nfs4 nas.lan:/plain rw\n" if uses else ""
    fstab = "5 1 0:33 / /mnt/nas rw - nfs4 nas.lan:/plain rw,addr=10.0.0.1\n"
    write_tables(tmp_path, {"self": TABLE + fstab, "77": CONTAINERS + bind})
    users = KernelMounts(str(tmp_path)).users("/mounts/e")
    assert [(user.pid, user.mountpoint) for user in users] == ([(77, "/data")] if uses else [])


def test_the_nearest_mountpoint_holds_a_path(tmp_path: Path) -> None:
    """By letters alone: what is mounted there may be dead."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(TABLE)
    mounts = KernelMounts(str(tmp_path))
    for path, place in (("/pools/nas/a/b", "/pools/nas"), ("/mounts/e", "/mounts/e"), ("//mounts/ee/../x", "/")):
        assert mounts.holding(path) == place


def test_secrets_are_not_described(tmp_path: Path) -> None:
    """What is mounted with them is shown to people, and written into the log."""
    line = "9 8 0:31 / /pools/nas rw - nfs4 nas.lan:/pool rw,password=hunter2,vers=4.2\n"
    write_tables(tmp_path, {"self": line})
    assert KernelMounts(str(tmp_path)).describe("/pools/nas") == "nas.lan:/pool nfs4 (rw,password=********,vers=4.2)"
