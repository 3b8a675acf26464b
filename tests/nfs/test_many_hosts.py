"""Three hosts on one pool: what is on the share is the truth for all of them, and no protocol is between them."""

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from guest.wire import Refused

from .daemon import Daemon
from .hosts import Host
from .run import await_true
from .server import NfsServer

pytestmark = pytest.mark.guest

SOON_S = 30.0
"""Less than until the follower reads the directories whatever their times are."""
TRUSTED_S = 8.0
"""More than until it trusts the times of directories that changed."""
POOL = '[pools.nas]\nkind = "nfs"\nexport = "nas.lan:/export/main"\noptions = "{}"\n'


@contextmanager
def sharing(directory: Path, *hosts: Host, options: str = "", **settings: str) -> Iterator[list[Daemon]]:
    """Pyvol on hosts, each with the same pool."""
    daemons = []
    for host in hosts:
        (directory / host.name).mkdir()
        daemon = Daemon(host, directory / host.name, **settings)
        daemon.configure(POOL.format(options))
        daemon.start()
        daemons.append(daemon)
    yield daemons
    for daemon in daemons:
        daemon.end()


@pytest.fixture
def nas(one: Host, two: Host, three: Host, tmp_path: Path) -> Iterator[list[Daemon]]:
    """Pyvol on three hosts, each with the same pool."""
    with sharing(tmp_path, one, two, three) as daemons:
        yield daemons


def refusal(act: Callable[..., object], *args: str, **options: str) -> str:
    """Do something and return what it was refused with, or nothing."""
    try:
        act(*args, **options)
    except Refused as refused:
        return str(refused)
    return ""


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Do things at the same time; return their refusals."""
    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(refusal, acts))


def persist(act: Callable[..., object], *args: str, **options: str) -> None:
    """Do something again and again until it is no more refused."""
    await_true(lambda: not refusal(act, *args, **options), "what was refused to be done")


def lists(daemon: Daemon, name: str) -> bool:
    """Tell whether a volume is listed."""
    return name in daemon.names()


def lacks(daemon: Daemon, name: str) -> bool:
    """Tell whether a volume is not listed."""
    return name not in daemon.names()


def test_a_volume_is_seen_by_all_and_gone_for_all(nas: list[Daemon]) -> None:
    """A volume created on one host is known by name and listed on the others, with its data; removed, it is gone."""
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


def test_lists_see_what_others_did_again_and_again(one: Host, two: Host, tmp_path: Path) -> None:
    """One change after the other is seen by the lists of another host, long before it reads everything once more."""
    with sharing(tmp_path, one, two, NFS_REFRESH="0s") as (here, there):
        end = time.monotonic() + TRUSTED_S
        for number in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()):
            here.create(f"v{number}", pool="nas")
            await_true(partial(lists, there, f"v{number}"), "a new volume", SOON_S)
            if number:
                here.remove(f"v{number - 1}")
                await_true(partial(lacks, there, f"v{number - 1}"), "a volume to be gone", SOON_S)
        here.remove(f"v{number}")
        await_true(partial(refusal, there.get, f"v{number}"), "who asks by name alone to be told", SOON_S)


def test_hosts_that_create_one_name_make_one_volume(server: NfsServer, nas: list[Daemon]) -> None:
    """Equal creations of one name at the same time all succeed and are one volume; of unequal ones one wins."""
    equal = at_once(*(partial(daemon.create, "v", pool="nas", uid="7") for daemon in nas))
    assert equal == ["", "", ""]
    assert [entry.name for entry in (server.path("main") / "volumes").iterdir()] == ["v"]
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


def test_what_another_host_uses_stays(server: NfsServer, nas: list[Daemon]) -> None:
    """A volume in use on one host is not removed on another, which says where it is used, as `pyvol claims` does."""
    one, two, _ = nas
    one.create("v", pool="nas")
    container = one.container("v")
    container.run("echo hello >/mnt/file")
    assert two.get("v")["Name"] == "v"
    refused = refusal(two.remove, "v")
    assert "'v'" in refused
    assert "one" in refused
    assert "one" in two.cli("claims").stdout
    assert (server.path("main") / "volumes/v/_data/file").exists()
    container.end()
    one.unmount("v")
    persist(two.remove, "v")
    assert list((server.path("main") / "volumes").iterdir()) == []


def test_a_shared_volume_is_used_by_all_at_once(nas: list[Daemon]) -> None:
    """Without a word on access a volume is mounted on every host at the same time."""
    nas[0].create("v", pool="nas")
    containers = []
    for daemon in nas:
        persist(daemon.get, "v")
        containers.append(daemon.container("v"))
        containers[-1].run(f"echo x >/mnt/{daemon.host.name}")
    assert containers[0].run("ls /mnt").split() == ["one", "three", "two"]


@pytest.mark.parametrize("version", ["3", "4.0", "4.2"])
def test_an_exclusive_volume_is_on_one_host_at_a_time(version: str, one: Host, two: Host, tmp_path: Path) -> None:
    """`access=exclusive` refuses a second host and names the first; the first may mount it twice; let go, it moves."""
    with sharing(tmp_path, one, two, options=f"vers={version}") as (here, there):
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


def test_a_restarted_server_gives_each_lock_back_to_its_host(server: NfsServer, nas: list[Daemon]) -> None:
    """After its restart a server waits for its former clients: an exclusive volume stays where it is."""
    one, two, _ = nas
    one.create("v", pool="nas", access="exclusive")
    container = one.container("v")
    assert "one" in refusal(two.mount, "v")
    server.restart()
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
    one.host.cut()
    persist(two.mount, "v")
    second = two.container("v", "y")
    assert second.run("cat /mnt/file") == "hello\n"
    second.end()
    for mount_id in ("x", "y"):
        two.unmount("v", mount_id)
    assert "lock was lost" not in one.log.read_text()
    one.host.plug()
    persist(one.mount, "v", "again")
    assert "lost for a while" in one.get("v")["Status"]["health"]
    assert "one (since" in refusal(two.mount, "v")
    container.end()
    for mount_id in ("x", "again"):
        one.unmount("v", mount_id)
    assert one.get("v")["Status"]["health"] == "ok"


def test_what_is_let_go_of_on_a_dead_server_is_free_when_it_is_back(server: NfsServer, nas: list[Daemon]) -> None:
    """Volumes whose containers all end while the server is silent, more than it is asked for at a time, move then."""
    one, two, _ = nas
    names = [f"v{number}" for number in range(7)]
    for name in names:
        one.create(name, pool="nas", access="exclusive")
    assert at_once(*(partial(one.mount, name) for name in names)) == [""] * len(names)
    await_true(lambda: set(names) <= two.names(), "the second host to list them")
    server.vanish("nas.lan")
    await_true(lambda: "does not answer" in refusal(one.create, "w", pool="nas"), "its silence to be noticed")
    assert at_once(*(partial(one.unmount, name) for name in names)) == [""] * len(names)
    server.appear("nas.lan")
    for name in names:
        persist(two.mount, name)


def test_each_host_answers_from_its_catalog(server: NfsServer, nas: list[Daemon]) -> None:
    """With the server gone each host still knows the volumes that it has seen, after a restart too."""
    one, two, _ = nas
    one.create("v", pool="nas")
    two.get("v")
    server.vanish("nas.lan")
    for daemon in (one, two):
        assert daemon.get("v")["Name"] == "v"
        assert "v" in daemon.names()
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
        daemon.start()
        assert daemon.get("v")["Name"] == "v"
        assert "v" in daemon.names()
    server.appear("nas.lan")


def test_a_removal_is_undone_on_another_host(nas: list[Daemon]) -> None:
    """A volume that one host removed is undeleted on another, and is back for all."""
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


def test_a_volume_made_anew_is_another_one(server: NfsServer, nas: list[Daemon]) -> None:
    """Who has an exclusive volume does not have the one that comes to its name, be it cut off meanwhile or not."""
    one, two, three = nas
    one.create("v", pool="nas", access="exclusive")
    one.mount("v")
    descriptor = server.path("main") / "volumes/v/volume.json"
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
    ids = {entry.name.partition("@")[0] for entry in (server.path("main") / "locks").iterdir() if "@" in entry.name}
    assert ids == {one.wire.get("/v1/volumes/v")["id"]}


def test_the_locks_of_a_pool_that_is_gone_end(nas: list[Daemon]) -> None:
    """Without its pool in the settings a volume that a container has stays locked, and one that none has does not."""
    one, two, _ = nas
    for name in ("v", "w"):
        one.create(name, pool="nas", access="exclusive")
        one.mount(name)
    one.kill()
    one.configure("")
    one.start()
    one.unmount("w")
    assert "one" in refusal(two.mount, "w")
    one.kill()
    one.start()
    persist(two.mount, "w")
    assert "one" in refusal(two.mount, "v")
