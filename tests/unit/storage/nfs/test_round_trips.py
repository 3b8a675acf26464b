"""How many requests a verb sends to the server's workers: each costs a process switch, and each can hang."""

from collections.abc import Callable

import pytest

from hosts import Hosts
from pyvol.core.errors import StorageFailed, VolumeInUse, VolumeProtected
from pyvol.storage.remote.messages import AttachVolume, LockNeed, Request
from shares import WatchedServer


def requests(hosts: Hosts, act: Callable[[], object]) -> list[str]:
    """Return the names of the messages that an act of host a sends."""
    server = hosts.pools["a"].server
    assert isinstance(server, WatchedServer)
    server.requests.clear()
    before = server.round_trips
    act()
    assert server.round_trips - before == len(server.requests)
    return list(server.requests)


@pytest.mark.parametrize("options", [{}, {"access": "exclusive"}, {"uid": "1000", "mode": "0700"}, {"subdir": "a/b"}])
def test_each_verb_is_one_round_trip(hosts: Hosts, options: dict[str, str]) -> None:
    """Mount compares, locks and owns in one; Unmount unlocks; Remove locks, compares and moves in one."""
    a = hosts.a.volumes
    a.create("v", options)
    assert requests(hosts, lambda: a.mount("v", "one")) == ["AttachVolume"]
    assert requests(hosts, lambda: a.mount("v", "two")) == ["AttachVolume"]
    assert requests(hosts, lambda: a.unmount("v", "two")) == []
    assert requests(hosts, lambda: a.unmount("v", "one")) == ["UnlockVolume"]
    assert requests(hosts, lambda: a.remove("v")) == ["RemoveVolume"]
    assert list((hosts.share.root / "locks").iterdir()) == []


def test_create_is_one_round_trip(hosts: Hosts) -> None:
    """The second Create of the same volume needs no request."""
    hosts.pools["a"].mount()
    assert requests(hosts, lambda: hosts.a.volumes.create("v", None)) == ["CreateVolume"]
    assert requests(hosts, lambda: hosts.a.volumes.create("v", None)) == []


def test_a_remove_of_a_volume_that_is_still_held_is_two_round_trips(hosts: Hosts) -> None:
    """Its claims are lost, for example; its lock is released first."""
    hosts.a.volumes.create("v", {"on_remove": "delete"})
    hosts.a.volumes.mount("v", "one")
    assert requests(hosts, lambda: hosts.a.volumes.remove("v")) == ["UnlockVolume", "RemoveVolume"]


def test_a_lock_in_doubt_costs_no_round_trip_of_its_own(hosts: Hosts) -> None:
    """The Mount verifies it in the one request that it sends anyway."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    hosts.pools["a"].invalidate_locks()
    assert requests(hosts, lambda: hosts.a.volumes.mount("v", "two")) == ["AttachVolume"]


def test_a_volume_that_another_host_changed_costs_one_more(hosts: Hosts) -> None:
    """The first request finds the change and does nothing; the second acts on the volume as it is now."""
    hosts.a.volumes.create("v", None)
    hosts.follow(hosts.b)
    hosts.b.volumes.change("v", {"mode": "0700"})
    assert requests(hosts, lambda: hosts.a.volumes.mount("v", "one")) == ["AttachVolume"] * 2
    assert hosts.a.volumes.get("v").spec.mode == 0o700
    assert (hosts.share.root / "volumes/v/_data").stat().st_mode & 0o777 == 0o700
    hosts.a.volumes.unmount("v", "one")
    hosts.b.volumes.change("v", {"protect": "true"})
    with pytest.raises(VolumeProtected):
        hosts.a.volumes.remove("v")
    hosts.b.volumes.change("v", {"protect": "false"})
    hosts.a.volumes.remove("v")
    assert hosts.a.names() == []


def test_a_volume_that_changes_all_the_time_is_refused(hosts: Hosts) -> None:
    """A Mount does not try for ever."""
    hosts.a.volumes.create("v", None)
    manifest = hosts.share.root / "volumes/v/volume.json"
    server = hosts.pools["a"].server
    assert isinstance(server, WatchedServer)
    modes = iter(("0700", "0710", "0711", "0755"))

    def change(_: object, answer: object) -> object:
        hosts.b.volumes.change("v", {"mode": next(modes)})
        return answer

    hosts.follow(hosts.b)
    hosts.b.volumes.change("v", {"mode": "0750"})
    server.answered = change
    with pytest.raises(
        StorageFailed, match="'v' cannot be used: another host changes it again and again; try again later"
    ):
        hosts.a.volumes.mount("v", "one")
    assert manifest.exists()
    assert not hosts.pools["a"].attached()


def test_a_refused_mount_leaves_no_lock(hosts: Hosts) -> None:
    """The worker that locked it releases it: the directory is gone, and other hosts can remove the rest."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    (hosts.share.root / "volumes/v/_data").rmdir()
    with pytest.raises(StorageFailed, match="volume 'v'"):
        hosts.a.volumes.mount("v", "one")
    hosts.follow(hosts.b)
    hosts.b.volumes.remove("v")


def test_a_slow_lock_does_not_keep_a_shared_volume_waiting(hosts: Hosts) -> None:
    """After a restart the server grants no lock for a while: a shared volume is mounted, and locked later."""
    hosts.a.volumes.create("v", None)
    server = hosts.pools["a"].server
    assert isinstance(server, WatchedServer)

    def hang(request: Request) -> None:
        if isinstance(request, AttachVolume) and request.lock is LockNeed.TAKE:
            raise StorageFailed("127.0.0.1 answers, and has not done what it was asked")

    server.asked = hang
    assert requests(hosts, lambda: hosts.a.volumes.mount("v", "one")) == ["AttachVolume"]  # and the one that hangs
    assert hosts.b.volume_status.foreign_claims().holders == []
    assert requests(hosts, lambda: hosts.a.shared_pools.hold_claimed(hosts.pools["a"])) == ["LockVolume"]
    assert [holder.host for holder in hosts.b.volume_status.foreign_claims().holders] == ["a"]
    hosts.a.volumes.create("w", {"access": "exclusive"})
    with pytest.raises(StorageFailed, match=r"'w' cannot be used: .* answers, and has not done what it was asked"):
        hosts.a.volumes.mount("w", "one")
    with pytest.raises(VolumeInUse, match="in use on a"):
        hosts.b.volumes.remove("v")
