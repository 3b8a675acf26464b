"""A volume with `access=exclusive` is on one host at a time, by a lock on the server."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from deadline import await_true
from nfs.daemon import Daemon
from nfs.server import NfsServer

from .asking import at_once, persist, refusal
from .conftest import POOL, shared_pools

pytestmark = pytest.mark.guest


@pytest.mark.parametrize("version", ["3", "4.0", "4.2"])
def test_an_exclusive_volume_is_on_one_host_at_a_time(version: str, nas: list[Daemon], tmp_path: Path) -> None:
    """A second host cannot mount an exclusive volume until the first host has unmounted it completely."""
    hosts = [daemon.host for daemon in nas[:2]]
    with shared_pools(tmp_path, *hosts, options=f"vers={version}") as (here, there):
        here.create("v", pool="nas", access="exclusive")
        here.mount("v", "a")
        here.mount("v", "b")
        persist(there.get, "v")
        refused = refusal(there.mount, "v")
        assert "'v'" in refused
        assert "one" in refused
        here.unmount("v", "a")
        assert refusal(there.mount, "v")
        here.unmount("v", "b")
        persist(there.mount, "v")
        assert refusal(here.mount, "v")


def test_one_of_several_hosts_gets_an_exclusive_volume(nas: list[Daemon]) -> None:
    """If several hosts mount an exclusive volume at the same time, exactly one succeeds."""
    nas[0].create("v", pool="nas", access="exclusive")
    for daemon in nas:
        persist(daemon.get, "v")
    refusals = at_once(*(partial(daemon.mount, "v") for daemon in nas))
    assert sorted(map(bool, refusals)) == [False, True, True]


def test_a_restarted_daemon_keeps_its_exclusive_volume(nas: list[Daemon]) -> None:
    """A host with a running container keeps its exclusive volume while pyvol is killed, stopped, started."""
    one, two, _ = nas
    one.create("v", pool="nas", access="exclusive")
    container = one.container("v")
    for go_away in (one.kill, one.stop):
        go_away()
        for _ in range(2):
            assert "one" in refusal(two.mount, "v")
        one.start()
        assert "one" in refusal(two.mount, "v")
        assert "one" in two.cli("claims").stdout
    container.run("echo hello >/mnt/file")
    container.end()
    one.unmount("v")
    persist(two.mount, "v")


def fd_stores(daemon: Daemon) -> set[int]:
    """Return the processes that keep a host's locks."""
    found = set()
    for pid in daemon.host.processes():
        with suppress(OSError):  # it has ended
            if b"pyvol.host.processes.fd_store_server" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found


def test_a_killed_fd_store_is_replaced(nas: list[Daemon]) -> None:
    """The daemon notices immediately that its locks ended, reports the loss, and takes the locks again."""
    one, two, _ = nas
    one.create("v", pool="nas", access="exclusive")
    container = one.container("v")
    logged = len(one.log.read_text())
    (before,) = fd_stores(one)
    os.kill(before, signal.SIGKILL)
    await_true(lambda: "lost for a while" in one.get("v")["Status"]["health"], "another fd store to have the lock")
    assert "lock was lost" in one.log.read_text()[logged:]
    assert len(fd_stores(one) - {before}) == 1
    assert "one (since" in refusal(two.mount, "v")
    container.end()
    one.unmount("v")
    assert one.get("v")["Status"]["health"] == "ok"
    persist(two.mount, "v")


def test_a_restarted_server_gives_each_lock_back_to_its_host(kernel_server: NfsServer, nas: list[Daemon]) -> None:
    """After a restart of the server, an exclusive volume stays with its host."""
    one, two, _ = nas
    one.create("v", pool="nas", access="exclusive")
    container = one.container("v")
    assert "one" in refusal(two.mount, "v")
    kernel_server.restart()
    for _ in range(2):  # during the server's grace period, and after it
        assert "'v'" in refusal(two.mount, "v")
    await_true(lambda: "one (since" in refusal(two.mount, "v"), "the lock to be the first host's again")
    assert not refusal(one.mount, "v", "again")
    assert one.get("v")["Status"]["health"] == "ok", "no other host had the lock"
    container.run("echo hello >/mnt/file")
    one.unmount("v", "again")
    container.end()
    one.unmount("v")
    persist(two.mount, "v")


def test_a_dead_hosts_volume_is_free_after_the_lease(nas: list[Daemon]) -> None:
    """After a host dies, the server's lease ends and another host can mount its exclusive volume.

    The first host, when it is back, reports the lost lock even if the lock is free again.
    """
    one, two, _ = nas
    one.create("v", pool="nas", access="exclusive")
    container = one.container("v")
    container.run("echo hello >/mnt/file")
    logged = len(one.log.read_text())
    one.host.cut()
    persist(two.mount, "v")
    second = two.container("v", "y")
    assert second.run("cat /mnt/file") == "hello\n"
    second.end()
    for mount_id in ("x", "y"):
        two.unmount("v", mount_id)
    assert "lock was lost" not in one.log.read_text()[logged:]
    one.host.plug()
    persist(one.mount, "v", "again")
    assert "lost for a while" in one.get("v")["Status"]["health"]
    assert "one (since" in refusal(two.mount, "v")
    container.end()
    for mount_id in ("x", "again"):
        one.unmount("v", mount_id)
    assert one.get("v")["Status"]["health"] == "ok"


def test_volumes_released_on_a_dead_server_are_free_when_it_is_back(
    kernel_server: NfsServer, nas: list[Daemon]
) -> None:
    """Many volumes that are unmounted while the server is silent can be mounted elsewhere when it is back."""
    one, two, _ = nas
    names = [f"v{number}" for number in range(7)]
    for name in names:
        one.create(name, pool="nas", access="exclusive")
    assert at_once(*(partial(one.mount, name) for name in names)) == [""] * len(names)
    await_true(lambda: set(names) <= two.names(), "the second host to list them")
    kernel_server.vanish("nas.lan")
    await_true(lambda: "does not answer" in refusal(one.create, "w", pool="nas"), "its silence to be noticed")
    assert at_once(*(partial(one.unmount, name) for name in names)) == [""] * len(names)
    kernel_server.appear("nas.lan")
    for name in names:
        persist(two.mount, name)


def test_a_recreated_volume_is_a_different_one(kernel_server: NfsServer, nas: list[Daemon]) -> None:
    """The lock of a removed exclusive volume does not apply to a new volume of the same name."""
    one, two, three = nas
    one.create("v", pool="nas", access="exclusive")
    one.mount("v")
    manifest = kernel_server.path("main") / "volumes/v/volume.json"
    manifest.write_text(manifest.read_text().replace(one.wire.get("/v1/volumes/v")["id"], "c" * 16))
    persist(two.mount, "v")
    assert "two (since" in refusal(one.mount, "v", "again")
    two.unmount("v")
    container = one.container("v", "again")
    persist(three.get, "v")
    one.host.cut()
    persist(two.remove, "v")
    two.create("v", pool="nas", access="exclusive")
    two.mount("v")
    one.host.plug()
    await_true(lambda: "two (since" in refusal(one.mount, "v"), "the first host to know which host has the volume")
    assert "two (since" in refusal(three.mount, "v")
    container.end()
    two.unmount("v")
    persist(one.mount, "v")
    assert "one (since" in refusal(two.mount, "v")
    ids = {
        entry.name.partition("@")[0] for entry in (kernel_server.path("main") / "locks").iterdir() if "@" in entry.name
    }
    assert ids == {one.wire.get("/v1/volumes/v")["id"]}


@contextmanager
def without_pool(daemon: Daemon) -> Iterator[None]:
    """Run a daemon without its pool during the block."""
    restart(daemon, "")
    try:
        yield
    finally:
        restart(daemon, POOL.format(""))


def restart(daemon: Daemon, settings: str) -> None:
    """Kill a daemon, and start it with other settings."""
    daemon.kill()
    daemon.configure(settings)
    daemon.start()


def test_unused_locks_of_a_removed_pool_end(nas: list[Daemon]) -> None:
    """After a pool leaves the settings, the volumes of containers stay locked, and unused volumes do not."""
    one, two, _ = nas
    for name in ("v", "w"):
        one.create(name, pool="nas", access="exclusive")
        one.mount(name)
    with without_pool(one):
        one.unmount("w")
        assert "one" in refusal(two.mount, "w")
        one.kill()
        one.start()
        persist(two.mount, "w")
        assert "one" in refusal(two.mount, "v")
