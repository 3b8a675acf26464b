"""Locks that show other hosts who has a volume mounted, that end with their host and outlive its daemon."""

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from hosts import Hosts
from house import House
from pyvol.core.errors import StorageFailed, VolumeInUse
from shares import Share, unlock


def identities(files: Sequence[int]) -> list[int]:
    """Return the inodes of open files, and close them."""
    found = [os.fstat(file).st_ino for file in files]
    for file in files:
        os.close(file)
    return found


def test_a_volume_that_another_host_has_mounted_stays(hosts: Hosts) -> None:
    """The refusal names the host; after its last Unmount nothing is in the way."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    hosts.follow(hosts.b)
    with pytest.raises(VolumeInUse, match=r"volume 'v' cannot be removed: it is in use on a \(since .*\); stop"):
        hosts.b.volumes.remove("v")
    (holder,) = hosts.b.volume_status.foreign_claims().holders
    assert (holder.volume, holder.host) == ("v", "a")
    hosts.b.volumes.mount("v", "one")  # shared is the default
    hosts.b.volumes.unmount("v", "one")
    hosts.a.volumes.unmount("v", "one")
    hosts.b.volumes.remove("v")
    assert hosts.b.volume_status.foreign_claims().holders == []
    assert list((hosts.share.root / "locks").iterdir()) == []


def test_exclusive_is_one_host_at_a_time(hosts: Hosts) -> None:
    """The second host gets an error that names the first, and gets the volume after its release."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    hosts.a.volumes.mount("v", "two")
    with pytest.raises(
        VolumeInUse, match=r"volume 'v' cannot be mounted: it has access=exclusive and is mounted on a \(since"
    ):
        hosts.b.volumes.mount("v", "one")
    assert hosts.b.volume_status.claims() == []
    hosts.a.volumes.unmount("v", "one")
    hosts.a.volumes.unmount("v", "two")
    hosts.b.volumes.mount("v", "one")


def test_a_server_that_cannot_be_asked_is_named(hosts: Hosts) -> None:
    """Which volumes other hosts have mounted is then not known, rather than none."""
    hosts.share.nas.stop()
    known = hosts.b.volume_status.foreign_claims()
    assert (known.holders, list(known.not_asked)) == ([], ["default"])
    assert "127.0.0.1" in known.not_asked["default"]


def test_the_lock_of_a_host_that_died_is_free(hosts: Hosts) -> None:
    """Its file is still there; nobody holds it."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    hosts.share.kill_host(hosts.pools["a"])
    assert len(list((hosts.share.root / "locks").iterdir())) == 2  # they say whose it was
    hosts.b.volumes.mount("v", "one")
    assert hosts.b.volume_status.foreign_claims().holders == []


def test_a_full_share_is_mounted(scratch: Path) -> None:
    """Else nobody could make room; the lock that tells other hosts holds without what it says."""
    (scratch / "share").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", scratch / "share"], check=True)
    hosts = Hosts(scratch)
    try:
        hosts.a.volumes.create("v", None)
        with (hosts.share.root / "fill").open("wb", buffering=0) as fill, suppress(OSError):
            while fill.write(bytes(4096)):
                pass
        hosts.a.volumes.mount("v", "one")
        assert hosts.pools["a"].is_attached(hosts.a.volumes.get("v"))
        hosts.follow(hosts.b)
        with pytest.raises(VolumeInUse, match="it is in use on another host"):
            hosts.b.volumes.remove("v")
        hosts.a.volumes.unmount("v", "one")
    finally:
        hosts.close()
        subprocess.run(["umount", scratch / "share"], check=True)


def test_what_a_lock_says_is_not_trusted(hosts: Hosts) -> None:
    """Nonsense in a lock file does not matter: the lock holds, and belongs to another host."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    (signed,) = (hosts.share.root / "locks").glob("*@a")
    for summary in (b'["\xff","a","2026-01-31T12:00:00Z"]', b'["v","a","2026-01-31T12:00:00"]'):
        signed.write_bytes(summary)
        assert hosts.b.volume_status.foreign_claims().holders == []
    with pytest.raises(VolumeInUse, match="it is in use on another host"):
        hosts.b.volumes.remove("v")


def test_a_lock_that_the_server_freed_is_not_taken_for_held(hosts: Hosts) -> None:
    """The host was cut off for longer than a lease, and another one has the volume since."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    unlock(hosts.share.files(hosts.pools["a"], "v"))
    hosts.b.volumes.mount("v", "one")
    with pytest.raises(VolumeInUse, match="is mounted on b"):
        hosts.a.volumes.mount("v", "two")
    hosts.b.volumes.unmount("v", "one")
    hosts.a.volumes.mount("v", "two")


def test_locks_in_doubt_are_taken_once_more(hosts: Hosts) -> None:
    """After the server was away each host tells the others again what it has mounted."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    before = identities(hosts.share.files(hosts.pools["a"], "v"))
    unlock(hosts.share.files(hosts.pools["a"], "v"))
    hosts.pools["a"].invalidate_locks()
    hosts.follow(hosts.a)
    assert identities(hosts.share.files(hosts.pools["a"], "v")) == before
    assert [holder.host for holder in hosts.b.volume_status.foreign_claims().holders] == ["a"]


def test_after_a_restart_the_locks_are_taken_again(hosts: Hosts) -> None:
    """Claims outlive the daemon, its open files don't."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    hosts.share.kill_host(hosts.pools["a"])
    assert hosts.b.volume_status.foreign_claims().holders == []
    hosts.follow(hosts.a)
    assert [holder.host for holder in hosts.b.volume_status.foreign_claims().holders] == ["a"]


def test_the_locks_of_a_killed_daemon_are_kept(hosts: Hosts) -> None:
    """While its host is up no other host gets its volumes.

    The next daemon has the locks, and can release them.
    """
    for name in ("v", "w"):
        hosts.a.volumes.create(name, {"access": "exclusive"})
        hosts.a.volumes.mount(name, "one")
    hosts.follow(hosts.b)
    hosts.share.kill(hosts.pools["a"])
    for name in ("v", "w"):
        with pytest.raises(
            VolumeInUse, match=f"'{name}' cannot be mounted: it has access=exclusive and is mounted on a"
        ):
            hosts.b.volumes.mount(name, "two")
    hosts.pools["a"] = next_life = hosts.share.pool("a")
    assert next_life.attached() == ["v", "w"]
    next_life.hold(hosts.a.volumes.get("v"))
    next_life.detach(hosts.a.volumes.get("v"))
    hosts.b.volumes.mount("v", "two")
    with pytest.raises(VolumeInUse):
        hosts.b.volumes.mount("w", "two")


def test_exclusive_takes_locks_that_others_see(hosts: Hosts) -> None:
    """With nolock each host would think that it is alone."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.share.kernel.options = "rw,vers=3,nolock,local_lock=all"
    with pytest.raises(StorageFailed, match=r"volume 'v'.*locks that no other host sees"):
        hosts.a.volumes.mount("v", "one")


def test_an_exclusive_volume_that_another_host_took_is_reported(hosts: Hosts) -> None:
    """The daemon was away, its container was not; another host's may run now too."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    hosts.share.kill_host(hosts.pools["a"])
    hosts.b.volumes.mount("v", "one")
    hosts.follow(hosts.a)
    assert "volume is mounted here, and other hosts do not know" in hosts.a.log.events


def test_a_share_out_of_reach_shows_no_claims(hosts: Hosts) -> None:
    """`pyvol claims` answers with what this host knows."""
    hosts.share.nas.stop()
    hosts.pools["a"].server._answered_at = 0.0
    assert hosts.a.volume_status.foreign_claims().holders == []


def test_claims_on_other_pools_lock_nothing_on_a_share(scratch: Path) -> None:
    """Locking again what is mounted from a share skips the volumes of other pools."""
    share = Share(scratch / "share")
    (scratch / "a").mkdir()
    pool = share.pool("a", name="nas")
    house = House(scratch / "a", shared={"nas": pool})
    house.volumes.create("own", None)
    house.volumes.create("far", {"pool": "nas"})
    for name in ("own", "far"):
        house.volumes.mount(name, "id")
    house.shared_pools.hold_claimed(pool)
    assert list(pool.attached()) == ["far"]
    assert house.shared_pools.take_in("default", "own") is None
    house.close()
    share.close()
