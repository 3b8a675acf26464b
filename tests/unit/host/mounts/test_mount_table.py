"""The users of a directory, with mount tables of NFS and managed plugins that a test cannot mount."""

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
    """Write a /proc with processes that see these mounts, each in its own namespace."""
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
def test_a_bind_of_an_nfs_directory_is_recognised_by_its_source(tmp_path: Path, path: str, used: bool) -> None:  # noqa: FBT001
    """In mountinfo the root of every NFS mount is /, also of a bind.

    A directory of a dead server is never opened.
    """
    bind = "10 9 0:33 / /data rw - nfs4 nas.lan:/pool/volumes/v/_data rw\n"
    write_tables(tmp_path, {"self": TABLE, "77": CONTAINERS + bind})
    users = KernelMounts(str(tmp_path)).users(path)
    assert [(user.pid, user.mountpoint) for user in users] == ([(77, "/data")] if used else [])


def test_a_copy_of_the_hosts_root_does_not_use_what_a_plugin_has_mounted(tmp_path: Path) -> None:
    """A monitor that mounts the host's root does not use the volume; a container with a bind does."""
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


def test_two_mounts_of_one_export_count_as_unused(tmp_path: Path) -> None:
    """It is not known which of the two a container uses.

    Removing one loses nothing: the data stays on the server.
    """
    table = TABLE + "5 1 0:33 / /mounts/f rw - nfs4 nas.lan:/plain rw,addr=10.0.0.1\n"
    write_tables(tmp_path, {"self": table})
    assert KernelMounts(str(tmp_path)).users("/mounts/e") == []


@pytest.mark.parametrize("uses", [True, False])
def test_a_mount_of_the_host_does_not_use_an_export(tmp_path: Path, *, uses: bool) -> None:
    """Only containers do: a mount of fstab would otherwise prevent every removal of the volume."""
    bind = "10 9 0:33 / /data rw - nfs4 nas.lan:/plain rw\n" if uses else ""
    fstab = "5 1 0:33 / /mnt/nas rw - nfs4 nas.lan:/plain rw,addr=10.0.0.1\n"
    write_tables(tmp_path, {"self": TABLE + fstab, "77": CONTAINERS + bind})
    users = KernelMounts(str(tmp_path)).users("/mounts/e")
    assert [(user.pid, user.mountpoint) for user in users] == ([(77, "/data")] if uses else [])


def test_the_nearest_mountpoint_of_a_path(tmp_path: Path) -> None:
    """Found by the path alone: the server of the mount may be dead."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(TABLE)
    mounts = KernelMounts(str(tmp_path))
    for path, place in (("/pools/nas/a/b", "/pools/nas"), ("/mounts/e", "/mounts/e"), ("//mounts/ee/../x", "/")):
        assert mounts.nearest_mountpoint(path) == place


def test_descriptions_contain_no_secrets(tmp_path: Path) -> None:
    """They are shown to people, and written to the log."""
    line = "9 8 0:31 / /pools/nas rw - nfs4 nas.lan:/pool rw,password=hunter2,vers=4.2\n"
    write_tables(tmp_path, {"self": line})
    assert KernelMounts(str(tmp_path)).describe("/pools/nas") == "nas.lan:/pool nfs4 (rw,password=********,vers=4.2)"
