"""All hosts see the volumes on the share, without a protocol between them."""

import itertools
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from deadline import await_true
from nfs.daemon import Daemon
from nfs.server import NfsServer

from .asking import at_once, persist, refusal
from .conftest import shared_pools

pytestmark = pytest.mark.guest

SOON_S = 30.0
"""Shorter than the time after which the watcher reads all directories again, whatever their timestamps."""
TRUSTED_S = 8.0
"""Longer than the time after which the watcher trusts the timestamps of changed directories."""


def test_a_volume_is_seen_by_all_and_gone_for_all(nas: list[Daemon]) -> None:
    """A volume that one host creates or removes appears or disappears on the other hosts."""
    one, two, three = nas
    one.create("v", pool="nas", mode="0750")
    container = one.container("v")
    container.run("echo hello >/mnt/file")
    container.end()
    one.unmount("v")
    assert two.get("v")["Name"] == "v"
    container = two.container("v")
    assert container.run("cat /mnt/file; stat -c %a /mnt") == "hello\n750\n"
    await_true(lambda: "v" in three.names(), "the third host to list it")
    assert two.get("v")["CreatedAt"] == one.get("v")["CreatedAt"]
    container.end()
    two.unmount("v")
    one.remove("v")
    await_true(lambda: "v" not in three.names(), "the third host not to list it")
    for daemon in (two, three):
        assert "'v'" in refusal(daemon.mount, "v")


def lists(daemon: Daemon, name: str) -> bool:
    """Return whether a volume is listed."""
    return name in daemon.names()


def lacks(daemon: Daemon, name: str) -> bool:
    """Return whether a volume is not listed."""
    return name not in daemon.names()


def test_lists_see_what_others_did_again_and_again(nas: list[Daemon], tmp_path: Path) -> None:
    """Another host's list shows one change after another, long before it reads all directories again."""
    hosts = [daemon.host for daemon in nas[:2]]
    with shared_pools(tmp_path, *hosts, NFS_REFRESH="0s") as (here, there):
        end = time.monotonic() + TRUSTED_S
        for number in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()):
            here.create(f"v{number}", pool="nas")
            await_true(partial(lists, there, f"v{number}"), "a new volume", SOON_S)
            if number:
                here.remove(f"v{number - 1}")
                await_true(partial(lacks, there, f"v{number - 1}"), "a volume to be gone", SOON_S)
        here.remove(f"v{number}")
        await_true(partial(refusal, there.get, f"v{number}"), "Get of the name to fail", SOON_S)


def test_hosts_that_create_one_name_make_one_volume(kernel_server: NfsServer, nas: list[Daemon]) -> None:
    """Equal creations of one name on several hosts give one volume; of different ones, one succeeds.

    Of volumes that would share a directory, at most one is created.
    """
    equal = at_once(*(partial(daemon.create, "v", pool="nas", uid="7") for daemon in nas))
    assert equal == ["", "", ""]
    assert [entry.name for entry in (kernel_server.path("main") / "volumes").iterdir()] == ["v"]
    assert len({daemon.wire.get("/v1/volumes/v")["id"] for daemon in nas}) == 1

    uids = ("1", "2", "3")
    unequal = at_once(
        *(partial(daemon.create, "w", pool="nas", uid=uid) for daemon, uid in zip(nas, uids, strict=True))
    )
    assert sorted(map(bool, unequal)) == [False, True, True]
    winner = uids[unequal.index("")]
    assert all("uid" in said for said in unequal if said)
    for daemon in nas:
        assert daemon.wire.get("/v1/volumes/w")["options"]["uid"] == winner

    at_once(*(partial(daemon.create, daemon.host.name, pool="nas", subdir="team-a/x") for daemon in nas))
    made = {"one", "two", "three"} & {entry.name for entry in (kernel_server.path("main") / "volumes").iterdir()}
    assert len(made) <= 1
    assert all("overlaps" in refusal(daemon.create, "late", pool="nas", subdir="team-a") for daemon in nas if made)


def test_what_another_host_uses_stays(kernel_server: NfsServer, nas: list[Daemon]) -> None:
    """A volume that another host uses is not removed; the error and `pyvol claims` name that host."""
    one, two, _ = nas
    one.create("v", pool="nas")
    container = one.container("v")
    container.run("echo hello >/mnt/file")
    assert two.get("v")["Name"] == "v"
    refused = refusal(two.remove, "v")
    assert "'v'" in refused
    assert "one" in refused
    assert "one" in two.cli("claims").stdout
    assert (kernel_server.path("main") / "volumes/v/_data/file").exists()
    container.end()
    one.unmount("v")
    persist(two.remove, "v")
    assert list((kernel_server.path("main") / "volumes").iterdir()) == []


def test_a_shared_volume_is_used_by_all_at_once(nas: list[Daemon]) -> None:
    """Without the option `access` a volume can be mounted on every host at the same time."""
    nas[0].create("v", pool="nas")
    containers = []
    for daemon in nas:
        persist(daemon.get, "v")
        containers.append(daemon.container("v"))
        containers[-1].run(f"echo x >/mnt/{daemon.host.name}")
    assert containers[0].run("ls /mnt").split() == ["one", "three", "two"]


def test_each_host_answers_from_its_catalog(kernel_server: NfsServer, nas: list[Daemon]) -> None:
    """Without the server each host still knows the volumes that it has seen, also after a restart."""
    one, two, _ = nas
    one.create("v", pool="nas")
    two.get("v")
    kernel_server.vanish("nas.lan")
    for daemon in (one, two):
        assert daemon.get("v")["Name"] == "v"
        assert "v" in daemon.names()
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
        daemon.start()
        assert daemon.get("v")["Name"] == "v"
        assert "v" in daemon.names()
    kernel_server.appear("nas.lan")


def test_a_removal_is_undone_on_another_host(nas: list[Daemon]) -> None:
    """A volume that one host removed can be undeleted on another host, and all hosts see it."""
    one, two, three = nas
    one.create("v", pool="nas")
    container = one.container("v")
    container.run("echo hello >/mnt/file")
    container.end()
    one.unmount("v")
    one.remove("v")
    persist(partial(two.wire.post, "/v1/undelete", name="v", new_name=None))
    await_true(lambda: "v" in three.names(), "the volume to be back")
    assert three.container("v").run("cat /mnt/file") == "hello\n"
