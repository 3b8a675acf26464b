"""A pool on an export has one mount for all its volumes, and reports what the server refuses."""

from pathlib import Path

import pytest

from deadline import await_true
from guest.plugin_api import Refused
from nfs.daemon import Daemon
from nfs.hosts import Host
from nfs.mountinfo import read
from nfs.run import PATIENCE_S
from nfs.server import SMALL_MIB, NfsServer

from .starting import POOL, start

pytestmark = pytest.mark.guest


@pytest.mark.parametrize("version", ["3", "4.0", "4.1", "4.2"])
def test_volumes_of_a_pool_share_one_mount(version: str, server: NfsServer, one: Host, tmp_path: Path) -> None:
    """All volumes of a pool are directories of one kernel mount with the configured version and options."""
    pyvol = start(one, tmp_path, options=f"vers={version},wsize=65536")
    for name in ("a", "b", "c"):
        pyvol.create(name, pool="nas")
        container = pyvol.container(name)
        container.run(f"echo {name} >/mnt/file")
        assert (server.path("main") / f"volumes/{name}/_data/file").read_text() == f"{name}\n"
        assert {f"vers={version}", "wsize=65536", "hard"} <= read(container.mount()).options
    assert len(one.mounts()) == 1
    assert pyvol.stop() == 0
    assert len(one.mounts()) == 1, "containers use it"


def test_an_export_in_the_environment_is_the_default_pool(server: NfsServer, one: Host, tmp_path: Path) -> None:
    """With PYVOL_NFS_EXPORT the default pool is on that export, even if its server only has IPv6."""
    pyvol = Daemon(one, tmp_path, NFS_EXPORT="[fd99::fe]:/export/main")
    pyvol.start()
    pyvol.create("v")
    pyvol.container("v").run("echo hello >/mnt/file")
    assert (server.path("main") / "volumes/v/_data/file").read_text() == "hello\n"
    assert "vers=4.2" in read(one.mounts()[0]).options
    pyvol.end()


@pytest.mark.parametrize(
    ("missing", "negotiated"), [(("4.2",), "vers=4.1"), (("4.1", "4.2"), "vers=4.0"), (("4",), "vers=3")]
)
def test_the_version_falls_back(
    missing: tuple[str, ...], negotiated: str, server: NfsServer, one: Host, tmp_path: Path
) -> None:
    """Without a version in the options a pool uses the newest version of the server."""
    server.stop()
    server.start(*missing)
    pyvol = start(one, tmp_path)
    pyvol.create("v", pool="nas")
    pyvol.mount("v")
    assert negotiated in read(one.mounts()[0]).options
    pyvol.end()
    one.reset()
    server.stop()


def test_no_secret_is_shown(server: NfsServer, one: Host, tmp_path: Path) -> None:
    """If mount.nfs refuses the options, log, error and doctor show them without secrets."""
    pyvol = start(one, tmp_path, options="vers=4.2,credentials=/etc/hunter,password=hunter2")
    with pytest.raises(Refused) as refused:
        pyvol.create("v", pool="nas")
    shown = f"{refused.value}{pyvol.cli('doctor').stdout}{pyvol.wire.get('/v1/events')}"
    pyvol.end()
    shown += pyvol.log.read_text()
    assert "password=********" in shown
    assert "hunter" not in shown


def test_root_squash_is_explained(server: NfsServer, one: Host, tmp_path: Path) -> None:
    """An error from root_squash is explained, and where root may write, volumes work."""
    pyvol = start(one, tmp_path, "squashed")
    with pytest.raises(Refused, match=r"'v'.*root_squash"):
        pyvol.create("v", pool="nas")
    server.path("squashed").chmod(0o777)
    pyvol.create("v", pool="nas")
    container = pyvol.container("v")
    container.run("echo hello >/mnt/file")
    assert (server.path("squashed") / "volumes/v/_data/file").read_text() == "hello\n"
    with pytest.raises(Refused, match=r"'owned'.*root_squash"):
        pyvol.use("owned", pool="nas", uid="1000")
    container.end()
    pyvol.unmount("v")
    pyvol.remove("v")
    assert "v" not in pyvol.names()
    pyvol.end()


def test_a_full_export_is_reported(server: NfsServer, one: Host, tmp_path: Path) -> None:
    """On a full export a creation fails with that reason, other volumes work, and free space repairs it."""
    pyvol = start(one, tmp_path, "small")
    pyvol.create("v", pool="nas")
    container = pyvol.container("v")
    fill = server.path("small") / "fill"
    with pytest.raises(OSError, match="No space"):
        fill.write_bytes(bytes(SMALL_MIB << 20))
    with pytest.raises(Refused, match=r"(?i)'w'.*(no space|full|no room)"):
        pyvol.use("w", pool="nas", uid="1000")
    assert "v" in pyvol.names()
    fill.unlink()
    container.run("echo room >/mnt/file")
    if "w" not in pyvol.names():
        pyvol.create("w", pool="nas", uid="1000")
    pyvol.mount("w")
    pyvol.end()


def test_a_read_only_export_refuses_creations(server: NfsServer, one: Host, tmp_path: Path) -> None:
    """A pool on a read-only export refuses a creation with that reason; the local pool works."""
    pyvol = start(one, tmp_path, "readonly")
    with pytest.raises(Refused, match=r"(?i)'v'.*read-only"):
        pyvol.create("v", pool="nas")
    pyvol.create("local")
    pyvol.mount("local")
    pyvol.end()


def test_two_pools_on_one_server_are_separate(server: NfsServer, one: Host, tmp_path: Path) -> None:
    """Two exports of one server are two pools, each with its own mount and volumes."""
    pyvol = Daemon(one, tmp_path)
    second = POOL.format("second", "").replace("pools.nas", "pools.second")
    pyvol.configure(POOL.format("main", "") + second)
    pyvol.start()
    for pool, export in (("nas", "main"), ("second", "second")):
        pyvol.create(pool, pool=pool)
        pyvol.container(pool).run("echo hello >/mnt/file")
        assert (server.path(export) / f"volumes/{pool}/_data/file").exists()
    assert len(one.mounts()) == 2
    pyvol.end()


def test_a_soft_mount_gives_up_and_keeps_its_lock(server: NfsServer, one: Host, tmp_path: Path) -> None:
    """On a soft mount a lost request is an I/O error, but does not count as a lost lock."""
    pyvol = start(one, tmp_path, options="vers=4.0,soft,timeo=5,retrans=1")
    pyvol.create("v", pool="nas", access="exclusive")
    container = pyvol.container("v")
    with one.losing_mounts():
        writer = container.launch("echo lost >/mnt/file")
        with pytest.raises(
            Refused, match=r"volume 'v' cannot be used: pool 'nas' cannot be read: .*: Input/output error"
        ):
            pyvol.mount("v", "again")
        assert writer.wait(PATIENCE_S)
    await_true(lambda: pyvol.can_mount("v"), "the pool to work again")
    container.run("echo hello >/mnt/file")
    assert pyvol.get("v")["Status"]["health"] == "ok"
    assert "lock was lost" not in pyvol.log.read_text()
    pyvol.end()
