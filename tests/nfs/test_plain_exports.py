"""Volumes with their own mount, with the options of Docker's `local` driver: NFS exports, tmpfs, binds."""

import pytest

from guest.plugin_api import Refused

from .daemon import Daemon
from .mountinfo import read
from .server import NfsServer

pytestmark = pytest.mark.guest

EXPORT = {"type": "nfs", "device": ":/export/main/data"}


@pytest.mark.parametrize("version", ["3", "4.0", "4.1", "4.2"])
def test_an_export_is_mounted_while_containers_use_it(version: str, server: NfsServer, pyvol: Daemon) -> None:
    """An export is mounted once, in the wanted version, from the first container to the last one."""
    pyvol.create("v", **EXPORT, o=f"addr=nas.lan,vers={version},rsize=65536")
    assert not pyvol.host.mounts()
    first, second = pyvol.container("v", "a"), pyvol.container("v", "b")
    first.run("echo hello >/mnt/file")
    assert second.run("cat /mnt/file") == "hello\n"
    assert (server.path("main") / "data/file").read_text() == "hello\n"
    seen = read(second.mount())
    assert (seen.kind, seen.source) == ("nfs" if version == "3" else "nfs4", "nas.lan:/export/main/data")
    assert {f"vers={version}", "rsize=65536", "hard"} <= seen.options
    first.end()
    pyvol.unmount("v", "a")
    assert len(pyvol.host.mounts()) == 1
    second.end()
    pyvol.unmount("v", "b")
    assert not pyvol.host.mounts()


@pytest.mark.parametrize(
    "options",
    [
        {"type": "nfs", "device": "nas.lan:/export/main/data"},
        {"type": "nfs4", "device": ":/export/main/data", "o": "addr=10.99.0.254"},
        {"type": "nfs", "device": ":/export/main/data", "o": "addr=nas6.lan"},
        {"type": "nfs", "device": ":/export/main/data", "o": "addr=fd99::fe"},
        {"type": "nfs", "device": "[fd99::fe]:/export/main/data", "o": "vers=4.1"},
        {"type": "nfs", "device": ":/export/main/data", "o": "addr=nas.lan,nolock,soft,nfsvers=3"},
    ],
    ids=["host in device", "nfs4", "name with IPv6 alone", "IPv6 address", "IPv6 in device", "Docker's examples"],
)
def test_a_server_is_named_in_each_way(options: dict[str, str], server: NfsServer, pyvol: Daemon) -> None:
    """The server can be given by name or address, IPv4 or IPv6, in `addr` or in the device."""
    pyvol.create("v", **options)
    container = pyvol.container("v")
    container.run("echo hello >/mnt/file")
    assert (server.path("main") / "data/file").read_text() == "hello\n"
    container.end()
    pyvol.unmount("v")


def test_the_version_is_negotiated(pyvol: Daemon) -> None:
    """Without a version the newest version of the server is used."""
    pyvol.create("v", **EXPORT, o="addr=nas.lan")
    pyvol.mount("v")
    assert "vers=4.2" in read(pyvol.host.mounts()[0]).options
    pyvol.unmount("v")


def test_a_missing_path_is_made(server: NfsServer, pyvol: Daemon) -> None:
    """A path that the export does not have is created with its parents, without a mount that stays."""
    pyvol.create("v", type="nfs", device=":/export/main/team/a b/data", o="addr=nas.lan")
    pyvol.mount("v")
    assert (server.path("main") / "team/a b/data").is_dir()
    assert len(pyvol.host.mounts()) == 1
    pyvol.unmount("v")
    assert not pyvol.host.mounts()


def test_a_missing_path_is_not_created_with_create_false(server: NfsServer, pyvol: Daemon) -> None:
    """With create=false a missing path is an error with that reason, and is not created."""
    pyvol.create("v", **EXPORT, o="addr=nas.lan", create="false")
    with pytest.raises(Refused) as refused:
        pyvol.mount("v")
    assert "'v'" in str(refused.value)
    assert "/export/main/data" in str(refused.value)
    assert list(server.path("main").iterdir()) == []
    assert not pyvol.host.mounts()
    (server.path("main") / "data").mkdir()
    pyvol.mount("v")
    pyvol.unmount("v")


def test_two_exports_of_one_server_are_two_mounts(server: NfsServer, pyvol: Daemon) -> None:
    """Two exports of one server are separate, and each is unmounted without the other."""
    for name in ("main", "second"):
        pyvol.create(name, type="nfs", device=f":/export/{name}/data", o="addr=nas.lan")
        container = pyvol.container(name)
        container.run(f"echo {name} >/mnt/file")
        container.end()
    assert len(pyvol.host.mounts()) == 2
    for name in ("main", "second"):
        assert (server.path(name) / "data/file").read_text() == f"{name}\n"
    pyvol.unmount("main")
    assert [read(line).source for line in pyvol.host.mounts()] == ["nas.lan:/export/second/data"]
    pyvol.unmount("second")


def test_two_volumes_of_one_export_are_separate(server: NfsServer, pyvol: Daemon) -> None:
    """Two volumes of one export stay separate, also after a kill of pyvol."""
    for name in ("v", "w"):
        pyvol.create(name, **EXPORT, o="addr=nas.lan")
    first, second = pyvol.container("v"), pyvol.container("w")
    pyvol.kill()
    pyvol.start()
    third = pyvol.container("v", "y")
    assert len(pyvol.host.mounts()) == 2  # one per volume
    for mount_id, container in (("x", first), ("y", third)):
        assert len(pyvol.host.mounts()) == 2, "v is still used"  # the same mounts
        container.end()
        pyvol.unmount("v", mount_id)
    assert [line.split()[4] for line in pyvol.host.mounts()] == [str(pyvol.root / "mounts/w")]
    pyvol.remove("v")
    second.run("echo hello >/mnt/file")
    assert (server.path("main") / "data/file").read_text() == "hello\n"
    second.end()
    pyvol.unmount("w")
    assert not pyvol.host.mounts()


def test_a_read_only_export_is_read(server: NfsServer, pyvol: Daemon) -> None:
    """A read-only export can be read, and a missing path is refused with that reason."""
    (server.path("readonly") / "data").mkdir()
    (server.path("readonly") / "data/file").write_text("hello\n")
    pyvol.create("there", type="nfs", device=":/export/readonly/data", o="addr=nas.lan")
    container = pyvol.container("there")
    assert container.run("cat /mnt/file") == "hello\n"
    with pytest.raises(AssertionError, match="Read-only"):
        container.run("touch /mnt/file")
    container.end()
    pyvol.unmount("there")
    pyvol.create("missing", type="nfs", device=":/export/readonly/missing", o="addr=nas.lan")
    with pytest.raises(Refused, match=r"'missing'.*read-only"):
        pyvol.mount("missing")


def test_a_volume_mounted_read_only_is_read_only(server: NfsServer, pyvol: Daemon) -> None:
    """With `ro` in the options containers cannot write."""
    (server.path("main") / "data").mkdir()
    pyvol.create("v", **EXPORT, o="addr=nas.lan,ro")
    container = pyvol.container("v")
    with pytest.raises(AssertionError, match="Read-only"):
        container.run("touch /mnt/file")
    container.end()
    pyvol.unmount("v")


def test_root_squash_is_explained(server: NfsServer, pyvol: Daemon) -> None:
    """A refusal by root_squash is explained, and what the export permits works."""
    pyvol.create("v", type="nfs", device=":/export/squashed/data", o="addr=nas.lan")
    with pytest.raises(Refused, match=r"'v'.*root_squash"):
        pyvol.mount("v")
    assert not pyvol.host.mounts()
    server.path("squashed").chmod(0o777)
    container = pyvol.container("v")
    container.run("echo hello >/mnt/file")
    assert (server.path("squashed") / "data/file").stat().st_uid == 65534
    container.end()
    pyvol.unmount("v")


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (
            {"device": ":/export/none/data", "o": "addr=nas.lan"},
            "nas.lan has no /export/none/data, and /export is read-",
        ),
        ({"device": ":/export/none", "o": "addr=nas.lan,vers=3,nolock"}, "check the export's name"),
        ({"device": ":/export/main", "o": "addr=nowhere.lan"}, "correct the server's name"),
        ({"device": ":/export/main", "o": "addr=nas.lan,nonsense"}, "mount option"),
        ({"device": ":/export/main", "o": "addr=nas.lan,vers=2"}, "correct vers"),
        ({"device": ":/export/main", "o": "addr=nas.lan,vers=5"}, "correct the mount's options"),
        ({"device": ":/export/main", "o": "addr=nas.lan,bg,vers=3,mountport=9"}, "fg,retry=0"),
    ],
    ids=[
        "no such export",
        "no such export of NFS 3",
        "no such host",
        "no such option",
        "old version",
        "no such version",
        "in the background",
    ],
)
def test_a_mount_that_fails_says_why(options: dict[str, str], cause: str, pyvol: Daemon) -> None:
    """A mount that fails gives an error with volume and cause, and leaves no claim and no mount."""
    with pytest.raises(Refused) as refused:
        pyvol.use("v", type="nfs", **options)
    assert cause in str(refused.value)
    assert pyvol.wire.get("/v1/claims")["claims"] == []
    assert not pyvol.host.mounts()


def test_a_full_server_is_reported_as_full(server: NfsServer, pyvol: Daemon) -> None:
    """On a full export a container gets ENOSPC, and a missing path is refused with that reason."""
    pyvol.create("v", type="nfs", device=":/export/small/data", o="addr=nas.lan")
    container = pyvol.container("v")
    with pytest.raises(AssertionError, match="No space left"):
        container.run("dd if=/dev/zero of=/mnt/fill bs=64k conv=fsync")
    (server.path("small") / "data/fill").unlink()
    container.run("echo room >/mnt/file")
    container.end()
    pyvol.unmount("v")


def test_secrets_in_options_stay_secret(pyvol: Daemon) -> None:
    """The value of `password=` and similar options is in no answer, error or log."""
    secret = "hunter2-and-more"  # noqa: S105  # an example
    said = []
    try:
        pyvol.create("v", **EXPORT, o=f"addr=nas.lan,username=me,password={secret}")
        said.append(str(pyvol.get("v")))
        pyvol.mount("v")
    except Refused as refused:
        said.append(str(refused))
    said.append(str(pyvol.wire.get("/v1/volumes")))
    said += [pyvol.cli("ls", "--json").stdout, pyvol.cli("inspect", "v").stdout, pyvol.cli("doctor").stdout]
    said.append(pyvol.log.read_text())
    assert secret not in "\n".join(said)


def test_a_tmpfs_is_shared_and_ends_with_its_last_container(pyvol: Daemon) -> None:
    """A tmpfs has its size, owner and mode, is shared by containers, and is empty after the last one."""
    pyvol.create("v", type="tmpfs", device="tmpfs", o="size=1m,uid=1000,gid=1001,mode=750,noexec")
    first, second = pyvol.container("v", "a"), pyvol.container("v", "b")
    first.run("echo hello >/mnt/file")
    assert second.run("cat /mnt/file; stat -c '%a %u:%g' /mnt") == "hello\n750 1000:1001\n"
    seen = read(first.mount())
    assert seen.kind == "tmpfs"
    assert {"size=1024k", "noexec"} <= seen.options
    with pytest.raises(AssertionError, match="No space left"):
        first.run("dd if=/dev/zero of=/mnt/fill bs=64k")
    for container, mount_id in ((first, "a"), (second, "b")):
        container.end()
        pyvol.unmount("v", mount_id)
    third = pyvol.container("v", "c")
    assert third.run("ls -A /mnt") == ""
    third.end()
    pyvol.unmount("v", "c")
    assert str(pyvol.root) not in pyvol.host.run("findmnt", "--noheadings", "--output", "TARGET", "--types", "tmpfs")


def test_a_bound_directory_is_what_containers_see(pyvol: Daemon) -> None:
    """`type=none,o=bind` shows a directory of the host in place, and a removal keeps its content."""
    pyvol.host.run("mkdir", "-p", "/srv/own")
    pyvol.create("v", type="none", device="/srv/own", o="bind")
    container = pyvol.container("v")
    container.run("echo hello >/mnt/file")
    container.end()
    pyvol.unmount("v")
    pyvol.remove("v")
    assert pyvol.host.run("cat", "/srv/own/file") == "hello\n"


def test_an_export_in_use_is_not_removed(server: NfsServer, pyvol: Daemon) -> None:
    """A mounted volume in use is not removed; later it is, and its files on the server stay."""
    pyvol.create("v", **EXPORT, o="addr=nas.lan")
    container = pyvol.container("v")
    container.run("echo hello >/mnt/file")
    with pytest.raises(Refused, match="'v' cannot be removed"):
        pyvol.remove("v")
    container.end()
    pyvol.unmount("v")
    pyvol.remove("v")
    assert (server.path("main") / "data/file").read_text() == "hello\n"
    assert not pyvol.host.mounts()
