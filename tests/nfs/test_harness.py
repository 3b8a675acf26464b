"""The test setup itself: the server's versions and ways to die, and the separation of the hosts."""

from collections.abc import Callable

import pytest

from .daemon import Daemon
from .hosts import Host
from .server import NfsServer

pytestmark = pytest.mark.guest


@pytest.mark.parametrize("version", ["3", "4.0", "4.1", "4.2"])
def test_the_server_speaks_each_version(version: str, server: NfsServer, one: Host) -> None:
    """An export can be mounted with each version, and the server has what a client writes."""
    one.run("mount", "-t", "nfs", "-o", f"vers={version}", "nas.lan:/export/main", "/mnt")
    one.run("sh", "-c", "hostname > /mnt/file")
    assert f"vers={version}" in one.mounts()[0]
    assert (server.path("main") / "file").read_text() == "one\n"


def knock(host: Host) -> str:
    """Return how the server's port answers."""
    script = "timeout 1 bash -c '</dev/tcp/nas.lan/2049' 2>/dev/null; echo $?"
    return {"0": "open", "1": "refused", "124": "silent"}[host.run("bash", "-c", script).strip()]


def test_a_server_dies_in_each_way_and_comes_back(server: NfsServer, one: Host) -> None:
    """A stopped server refuses connections, one without address or cable is silent, and all come back."""
    deaths: list[tuple[Callable[[], None], Callable[[], None], str]] = [
        (server.stop, server.start, "refused"),
        (lambda: server.vanish("nas.lan"), lambda: server.appear("nas.lan"), "silent"),
        (one.cut, one.plug, "silent"),
    ]
    for die, live, on_progress in deaths:
        die()
        assert knock(one) == on_progress
        live()
        assert knock(one) == "open"


def test_hosts_are_strangers_to_each_other(server: NfsServer, one: Host, two: Host) -> None:
    """Two hosts are two clients of the server: a lock of one excludes the other until its holder ends."""
    for host in (one, two):
        host.run("mount", "-t", "nfs", "-o", "vers=4.2", "nas.lan:/export/main", "/mnt")
    with one.launch("sh", "-c", "exec 9>/mnt/lock; flock 9; echo held; exec sleep infinity") as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AssertionError, match="exited 1"):
            two.run("flock", "--nonblock", "/mnt/lock", "true")
        holder.kill()
    two.run("flock", "--nonblock", "/mnt/lock", "true")


def test_pyvol_and_containers_live_on_a_host(pyvol: Daemon) -> None:
    """A container on the daemon's host sees its volume, under the mount that the test reads."""
    pyvol.create("v")
    container = pyvol.container("v")
    container.run("hostname > /mnt/file")
    assert (pyvol.root / "volumes/v/_data/file").read_text() == "one\n"
    assert "/volumes/v/_data" in container.mount()
    container.end()
