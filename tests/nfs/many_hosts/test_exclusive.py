"""A volume with `access=exclusive` is on one host at a time, by a lock of the server's."""

from collections.abc import Iterator
from contextlib import contextmanager
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
    """`access=exclusive` refuses a second host and names the first; the first may mount it twice; let go, it moves."""
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


def test_hosts_that_want_an_exclusive_volume_get_it_one(nas: list[Daemon]) -> None:
    """Of hosts that mount an exclusive volume at the same time one gets it."""
    nas[0].create("v", pool="nas", access="exclusive")
    for daemon in nas:
        persist(daemon.get, "v")
    refusals = at_once(*(partial(daemon.mount, "v") for daemon in nas))
    assert sorted(map(bool, refusals)) == [False, True, True]


def test_a_daemon_that_is_away_does_not_let_go(nas: list[Daemon]) -> None:
    """While its containers run, a host keeps its exclusive volume over a kill, a stop and a start of its pyvol."""
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


def test_a_restarted_server_gives_each_lock_back_to_its_host(kernel_server: NfsServer, nas: list[Daemon]) -> None:
    """After its restart a server waits for its former clients: an exclusive volume stays where it is."""
    one, two, _ = nas
    one.create("v", pool="nas", access="exclusive")
    container = one.container("v")
    assert "one" in refusal(two.mount, "v")
    kernel_server.restart()
    for _ in range(2):  # in the time of grace, and after it
        assert "'v'" in refusal(two.mount, "v")
    await_true(lambda: "one (since" in refusal(two.mount, "v"), "the lock to be the first host's again")
    assert not refusal(one.mount, "v", "again")
    assert one.get("v")["Status"]["health"] == "ok", "it was never anybody else's"
    container.run("echo hello >/mnt/file")
    one.unmount("v", "again")
    container.end()
    one.unmount("v")
    persist(two.mount, "v")


def test_a_dead_hosts_volume_is_free_after_the_lease(nas: list[Daemon]) -> None:
    """When a host dies with an exclusive volume, the server gives it to another one after its lease.

    A host that comes back says that it lost the lock, also where nobody has it any more.
    """
    one, two, _ = nas
    one.create("v", pool="nas", access="exclusive")
    container = one.container("v")
    container.run("echo hello >/mnt/file")
    told = len(one.log.read_text())
    one.host.cut()
    persist(two.mount, "v")
    second = two.container("v", "y")
    assert second.run("cat /mnt/file") == "hello\n"
    second.end()
    for mount_id in ("x", "y"):
        two.unmount("v", mount_id)
    assert "lock was lost" not in one.log.read_text()[told:]
    one.host.plug()
    persist(one.mount, "v", "again")
    assert "lost for a while" in one.get("v")["Status"]["health"]
    assert "one (since" in refusal(two.mount, "v")
    container.end()
    for mount_id in ("x", "again"):
        one.unmount("v", mount_id)
    assert one.get("v")["Status"]["health"] == "ok"


def test_what_is_let_go_of_on_a_dead_server_is_free_when_it_is_back(
    kernel_server: NfsServer, nas: list[Daemon]
) -> None:
    """Volumes whose containers all end while the server is silent, more than it is asked for at a time, move then."""
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


def test_a_volume_made_anew_is_another_one(kernel_server: NfsServer, nas: list[Daemon]) -> None:
    """Who has an exclusive volume does not have the one that comes to its name, be it cut off meanwhile or not."""
    one, two, three = nas
    one.create("v", pool="nas", access="exclusive")
    one.mount("v")
    descriptor = kernel_server.path("main") / "volumes/v/volume.json"
    descriptor.write_text(descriptor.read_text().replace(one.wire.get("/v1/volumes/v")["id"], "c" * 16))
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
    await_true(lambda: "two (since" in refusal(one.mount, "v"), "the first host to know whose it is")
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
    """Have a daemon live without its pool for a while."""
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


def test_the_locks_of_a_pool_that_is_gone_end(nas: list[Daemon]) -> None:
    """Without its pool in the settings a volume that a container has stays locked, and one that none has does not."""
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
