"""Volumes of a pool on an export can do all that volumes of a local pool can do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deadline import await_true
from guest.plugin_api import Refused
from nfs.daemon import Daemon
from nfs.hosts import Host
from nfs.server import NfsServer

from .starting import start

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def daemon(find_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Yield pyvol with a pool on the main export, for all tests of this file."""
    made = start(find_host("one"), tmp_path_factory.mktemp("pyvol"))
    yield made
    made.host.reset()


def test_ownership_follows_the_options(kernel_server: NfsServer, nas: Daemon) -> None:
    """Owner, group and mode are as in the options, also on the server."""
    nas.create("v", pool="nas", uid="1000", gid="1001", mode="2770")
    assert nas.container("v").run("stat -c '%a %u:%g' /mnt") == "2770 1000:1001\n"
    found = (kernel_server.path("main") / "volumes/v/_data").stat()
    assert (found.st_uid, found.st_gid) == (1000, 1001)


def test_a_removal_is_a_rename_on_the_server_and_is_undone(kernel_server: NfsServer, nas: Daemon) -> None:
    """Removal and undelete rename the volume's directory on the server, and copy nothing."""
    volumes, trash = (kernel_server.path("main") / name for name in ("volumes", "trash"))
    nas.create("v", pool="nas")
    container = nas.container("v")
    container.run("mkdir /mnt/deep; echo hello >/mnt/deep/file")
    inode = (volumes / "v/_data").stat().st_ino
    with pytest.raises(Refused, match="cannot be removed"):
        nas.remove("v")
    container.end()
    nas.unmount("v")
    nas.remove("v")
    assert not list(volumes.iterdir())
    assert len(list(trash.iterdir())) == 1
    nas.wire.post("/v1/undelete", name="v", new_name=None)
    assert (volumes / "v/_data").stat().st_ino == inode
    assert nas.container("v").run("cat /mnt/deep/file") == "hello\n"


def test_a_directory_in_the_pool_is_named_by_subdir(kernel_server: NfsServer, nas: Daemon) -> None:
    """`subdir` chooses the data directory in the export, which is created with its parents."""
    nas.create("web", pool="nas", subdir="team-a/{name}")
    nas.container("web").run("echo hello >/mnt/file")
    assert (kernel_server.path("main") / "team-a/web/file").read_text() == "hello\n"


def test_a_subdir_stays_in_the_export(kernel_server: NfsServer, nas: Daemon) -> None:
    """A `subdir` that would lead out of the export is refused and not created."""
    (kernel_server.path("main") / "out").symlink_to("/srv")
    for number, bad in enumerate(("../second/x", "out/x", "a/../../x")):
        with pytest.raises(Refused):
            nas.use(f"bad{number}", pool="nas", subdir=bad)
    assert not (kernel_server.path("second") / "x").exists()
    assert not Path("/srv/x").exists()


def test_effective_settings_are_shown(nas: Daemon) -> None:
    """A volume's Status and the doctor show server, version, options, free space and latency."""
    nas.create("v", pool="nas")
    nas.create("w", type="nfs", device=":/export/second/data", o="addr=nas.lan")
    for name in ("v", "w"):
        nas.mount(name)
    for shown in (*(str(nas.get(name)["Status"]) for name in ("v", "w")), nas.cli("doctor").stdout):
        for part in ("nas.lan answers (since", "vers=4.2", "hard", "last in", "free"):
            assert part in shown
    assert "nconnect=4" in str(nas.get("v")["Status"])


def test_a_killed_daemon_finds_its_mount_again(kernel_server: NfsServer, nas: Daemon) -> None:
    """After a kill the daemon uses the existing mount of the pool, and containers keep working."""
    nas.create("v", pool="nas")
    container = nas.container("v")
    nas.kill()
    container.run("echo hello >/mnt/file")
    nas.start()
    second = nas.container("v", "y")
    assert second.run("cat /mnt/file") == "hello\n"
    assert len(nas.host.mounts()) == 1


def test_volumes_of_a_pool_are_adopted(kernel_server: NfsServer, nas: Daemon) -> None:
    """A directory in the export can be adopted as a volume in place, with its content."""
    data = kernel_server.path("main") / "old/data"
    data.mkdir(parents=True)
    (data / "file").write_text("old\n")
    nas.create("v", pool="nas", subdir="old/data")
    assert nas.container("v").run("cat /mnt/file") == "old\n"


def test_a_stale_pool_is_mounted_again(kernel_server: NfsServer, nas: Daemon) -> None:
    """If the export's handles become stale, the next Mount gets a working mount without a restart."""
    nas.create("v", pool="nas")
    nas.container("v").run("echo hello >/mnt/file")
    kernel_server.unexport("main")
    with pytest.raises(Refused, match="'v'"):
        nas.mount("v", "y")
    assert nas.get("v")["Name"] == "v"
    kernel_server.export("main")

    def mounts() -> bool:
        try:
            return nas.container("v", "z").run("cat /mnt/file") == "hello\n"
        except Refused:
            return False

    await_true(mounts, "the pool to work again")
