"""Several hosts on one pool: what one does, the others know; and what only one may do, only one does."""

import fcntl
import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fakes import FakePool
from house import House
from pyvol.catalog import SqliteCatalog
from pyvol.core.errors import BadOption, NoSuchVolume, StorageFailed, VolumeExists, VolumeInUse, VolumeProtected
from pyvol.core.model import Phase
from pyvol.storage.nfs import NfsPool
from shares import Share


class Hosts:
    """Two hosts that have one share as their default pool."""

    def __init__(self, scratch: Path) -> None:
        self.share = Share(scratch / "share")
        self.pools = {name: self.share.pool(name) for name in ("a", "b")}
        self.a, self.b = (self._house(scratch / name, pool) for name, pool in self.pools.items())

    def follow(self, house: House) -> None:
        """Do what a host's follower does."""
        (pool,) = house.sharing._pools.values()
        house.sharing.follow(pool)
        house.sharing.hold_claimed(pool)

    def close(self) -> None:
        """End both, and the share."""
        for house in (self.a, self.b):
            house.close()
        self.share.close()

    def _house(self, root: Path, pool: NfsPool) -> House:
        root.mkdir()
        return House(root, pools={}, shared={"default": pool})


@pytest.fixture
def hosts(scratch: Path) -> Iterator[Hosts]:
    """Two hosts on one share."""
    made = Hosts(scratch)
    yield made
    made.close()


def names(house: House) -> list[str]:
    """What List says."""
    return [volume.name for volume in house.volumes.all()]


def test_what_one_host_creates_the_other_has(hosts: Hosts) -> None:
    """At the next Get of the name at once, in a List after the follower's next look; with the same options and id."""
    hosts.a.volumes.create("v", {"mode": "0700"})
    assert hosts.b.volumes.get("v") == hosts.a.volumes.get("v")
    hosts.a.volumes.create("w", None)
    assert names(hosts.b) == ["v"]
    hosts.follow(hosts.b)
    assert names(hosts.b) == ["v", "w"]
    with pytest.raises(NoSuchVolume):
        hosts.b.volumes.get("nope")


def test_the_stamp_of_a_share_is_another_after_each_change(hosts: Hosts) -> None:
    """A creation, a removal and an undelete of one host are told to the other by a look; with no server nothing is."""
    pool = hosts.pools["b"]
    stamps = [pool.stamp()]
    for act in (hosts.a.volumes.remove, hosts.a.trash.undelete):
        if len(stamps) == 1:
            hosts.a.volumes.create("v", None)
            stamps.append(pool.stamp())
        act("v")
        stamps.append(pool.stamp())
    assert all(now != then for then, now in itertools.pairwise(stamps))
    assert pool.stamp() == stamps[-1] is not None
    hosts.share.nas.stop()
    pool.server._heard = 0.0
    assert pool.stamp() is None


def test_what_was_never_finished_goes_after_a_day(hosts: Hosts) -> None:
    """What a host left in the making is deleted when it is a day old; another host may be at what is younger."""
    hosts.a.volumes.create("v", None)
    staging = hosts.share.root / "staging"
    for name, age_s in (("new-old", 25 * 3600), ("new-young", 23 * 3600)):
        (staging / name / "_data").mkdir(parents=True)
        os.utime(staging / name, (time.time() - age_s,) * 2)
    hosts.b.sharing.clear_unfinished(hosts.pools["b"])
    assert [entry.name for entry in staging.iterdir()] == ["new-young"]
    assert "unfinished volumes taken away" in hosts.b.journal.events
    hosts.share.nas.stop()
    hosts.pools["b"].server._heard = 0.0
    hosts.b.sharing.clear_unfinished(hosts.pools["b"])
    assert "unfinished volumes stay" in hosts.b.journal.events


def test_one_name_becomes_one_volume(hosts: Hosts) -> None:
    """Of two hosts that create a name one makes it; the other's success takes equal options."""
    hosts.a.volumes.create("v", {"mode": "0700"})
    hosts.b.volumes.create("v", {"mode": "0700"})
    assert hosts.b.volumes.get("v").id == hosts.a.volumes.get("v").id
    hosts.a.volumes.create("w", {"mode": "0700"})
    with pytest.raises(VolumeExists, match="mode is 0700, asked for 0750"):
        hosts.b.volumes.create("w", {"mode": "0750"})


def test_what_one_host_removes_is_gone_on_the_other_and_comes_back(hosts: Hosts) -> None:
    """Removal, undelete and the end of the trash are seen everywhere."""
    hosts.a.volumes.create("v", None)
    hosts.follow(hosts.b)
    hosts.a.volumes.remove("v")
    hosts.follow(hosts.b)
    assert names(hosts.b) == []
    assert [entry.name for entry in hosts.b.trash.all()] == ["v"]
    hosts.b.trash.undelete("v")
    hosts.follow(hosts.a)
    assert names(hosts.a) == ["v"]
    hosts.a.volumes.remove("v")
    hosts.a.trash.empty()
    hosts.follow(hosts.b)
    assert names(hosts.b) == []
    assert hosts.b.trash.all() == []


def test_options_that_another_host_changed_hold_here(hosts: Hosts) -> None:
    """A protected volume is protected everywhere, and one that was made anew is mounted with its new options."""
    hosts.a.volumes.create("v", None)
    hosts.follow(hosts.b)
    hosts.a.volumes.change("v", {"protect": "true"}, {"owner": "ada"})
    with pytest.raises(VolumeProtected):
        hosts.b.volumes.remove("v")
    hosts.b.volumes.change("v", {"protect": "false", "mode": "0700"})
    hosts.a.volumes.mount("v", "one")
    assert hosts.a.volumes.get("v").spec.mode == 0o700
    assert hosts.b.volumes.get("v").labels == hosts.a.volumes.get("v").labels == (("owner", "ada"),)
    hosts.a.volumes.unmount("v", "one")
    hosts.a.volumes.remove("v")
    hosts.a.volumes.create("v", {"mode": "0750"})
    hosts.b.volumes.mount("v", "one")
    assert hosts.b.volumes.get("v") == hosts.a.volumes.get("v")


def test_a_volume_that_another_host_has_mounted_stays(hosts: Hosts) -> None:
    """The refusal names the host; after its last Unmount nothing is in the way."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    hosts.follow(hosts.b)
    with pytest.raises(VolumeInUse, match=r"volume 'v' is in use on a \(since .*\) and stays: stop"):
        hosts.b.volumes.remove("v")
    (holder,) = hosts.b.showing.claims_elsewhere()
    assert (holder.volume, holder.host) == ("v", "a")
    hosts.b.volumes.mount("v", "one")  # shared is the default
    hosts.b.volumes.unmount("v", "one")
    hosts.a.volumes.unmount("v", "one")
    hosts.b.volumes.remove("v")
    assert hosts.b.showing.claims_elsewhere() == []
    assert list((hosts.share.root / "locks").iterdir()) == []


def test_exclusive_is_one_host_at_a_time(hosts: Hosts) -> None:
    """The second host is told who has it, and gets it when that lets go."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    hosts.a.volumes.mount("v", "two")
    with pytest.raises(VolumeInUse, match=r"volume 'v' has access=exclusive and is mounted on a \(since"):
        hosts.b.volumes.mount("v", "one")
    assert hosts.b.showing.claims() == []
    hosts.a.volumes.unmount("v", "one")
    hosts.a.volumes.unmount("v", "two")
    hosts.b.volumes.mount("v", "one")


def test_the_lock_of_a_host_that_died_is_free(hosts: Hosts) -> None:
    """Its file is still there; nobody holds it."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    hosts.share.kill(hosts.pools["a"], host=True)
    assert len(list((hosts.share.root / "locks").iterdir())) == 2  # they say whose it was
    hosts.b.volumes.mount("v", "one")
    assert hosts.b.showing.claims_elsewhere() == []


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
        with pytest.raises(VolumeInUse, match="is in use on another host and stays"):
            hosts.b.volumes.remove("v")
        hosts.a.volumes.unmount("v", "one")
    finally:
        hosts.close()
        subprocess.run(["umount", scratch / "share"], check=True)


def test_a_lock_that_the_server_freed_is_not_taken_for_held(hosts: Hosts) -> None:
    """The host was cut off for longer than a lease, and another one has the volume since."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    _, files = hosts.pools["a"]._holding._held["v"]
    for file in files:
        fcntl.flock(file, fcntl.LOCK_UN)
    hosts.b.volumes.mount("v", "one")
    with pytest.raises(VolumeInUse, match="is mounted on b"):
        hosts.a.volumes.mount("v", "two")
    hosts.b.volumes.unmount("v", "one")
    hosts.a.volumes.mount("v", "two")


def test_locks_in_doubt_are_taken_once_more(hosts: Hosts) -> None:
    """After the server was away each host tells the others again what it has mounted."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    held = hosts.pools["a"]._holding._held["v"]
    for file in held[1]:
        fcntl.flock(file, fcntl.LOCK_UN)
    hosts.pools["a"].doubt_locks()
    hosts.follow(hosts.a)
    assert hosts.pools["a"]._holding._held["v"] is held
    assert [holder.host for holder in hosts.b.showing.claims_elsewhere()] == ["a"]


def test_what_is_not_known_yet_is_removed_as_well(hosts: Hosts) -> None:
    """A Remove of a name that another host made a moment ago is no retry of one that succeeded."""
    hosts.a.volumes.create("v", None)
    hosts.b.volumes.remove("v")
    hosts.follow(hosts.a)
    assert names(hosts.a) == []


def test_after_a_restart_the_locks_are_taken_again(hosts: Hosts) -> None:
    """Claims outlive the daemon, its open files don't."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    hosts.share.kill(hosts.pools["a"], host=True)
    assert hosts.b.showing.claims_elsewhere() == []
    hosts.follow(hosts.a)
    assert [holder.host for holder in hosts.b.showing.claims_elsewhere()] == ["a"]


def test_the_locks_of_a_killed_daemon_are_kept(hosts: Hosts) -> None:
    """While its host lives nobody gets its volumes; its next life has them, and lets go of what is not claimed."""
    for name in ("v", "w"):
        hosts.a.volumes.create(name, {"access": "exclusive"})
        hosts.a.volumes.mount(name, "one")
    hosts.follow(hosts.b)
    hosts.share.kill(hosts.pools["a"])
    for name in ("v", "w"):
        with pytest.raises(VolumeInUse, match=f"'{name}' has access=exclusive and is mounted on a"):
            hosts.b.volumes.mount(name, "two")
    hosts.pools["a"] = next_life = hosts.share.pool("a")
    assert next_life.attached() == ["v", "w"]
    next_life.hold(hosts.a.volumes.get("v"))
    next_life.detach(hosts.a.volumes.get("v"))
    hosts.b.volumes.mount("v", "two")
    with pytest.raises(VolumeInUse):
        hosts.b.volumes.mount("w", "two")


def test_with_the_server_down_each_host_answers_from_its_catalog(hosts: Hosts) -> None:
    """A known volume is known, an unknown one is not, and neither waits."""
    hosts.a.volumes.create("v", None)
    hosts.share.nas.stop()
    hosts.pools["a"].server._heard = 0.0
    with pytest.raises(StorageFailed, match=r"volume 'v': 127.0.0.1 does not answer"):
        hosts.a.volumes.mount("v", "one")
    assert hosts.a.volumes.get("v").phase is Phase.READY
    assert "does not answer" in hosts.a.showing.status(hosts.a.volumes.get("v"))["server"]
    with pytest.raises(NoSuchVolume):
        hosts.a.volumes.get("nope")
    with pytest.raises(StorageFailed):
        hosts.follow(hosts.a)
    assert names(hosts.a) == ["v"]


def test_an_export_that_lost_its_directories_loses_no_volume(hosts: Hosts, scratch: Path) -> None:
    """The server came up without its disk: that is no removal of all volumes."""
    hosts.a.volumes.create("v", None)
    (hosts.share.root / "volumes").rename(scratch / "elsewhere")
    with pytest.raises(StorageFailed):
        hosts.follow(hosts.a)
    assert names(hosts.a) == ["v"]
    used = hosts.share.pool("c", is_used=True)
    with pytest.raises(StorageFailed, match="has none of its directories"):
        used.mount()
    assert not (hosts.share.root / "volumes").exists()


def test_a_directory_of_its_own_choice(hosts: Hosts) -> None:
    """`subdir` makes the directory where it is missing, keeps it at removal, and never gives it to two."""
    hosts.a.volumes.create("v", {"subdir": "team-a/{name}", "mode": "0750"})
    data = Path(hosts.a.volumes.mount("v", "one"))
    assert data == hosts.share.root / "team-a/v"
    assert data.stat().st_mode & 0o777 == 0o750
    (data / "file").write_text("kept")
    with pytest.raises(BadOption, match=r"subdir team-a overlaps that of volume 'v' \(team-a/v\)"):
        hosts.a.volumes.create("w", {"subdir": "team-a"})
    hosts.a.volumes.unmount("v", "one")
    hosts.a.volumes.remove("v")
    assert (data / "file").read_text() == "kept"
    hosts.b.volumes.create("other", {"subdir": "team-a/v"})
    assert (Path(hosts.b.volumes.mount("other", "one")) / "file").read_text() == "kept"


def test_a_symlink_leads_nowhere(hosts: Hosts, scratch: Path) -> None:
    """What another host put on the share can't lead to this host's own files."""
    (hosts.share.root / "team-a").symlink_to(scratch)
    with pytest.raises(StorageFailed, match="volume 'v': could not create it"):
        hosts.a.volumes.create("v", {"subdir": "team-a/{name}"})
    assert not (scratch / "v").exists()


@pytest.mark.parametrize("given", [{"path": "/srv/x"}, {"type": "tmpfs", "device": "tmpfs"}])
def test_what_is_one_hosts_own_is_not_kept_on_a_share(hosts: Hosts, given: dict[str, str]) -> None:
    """Other hosts could do nothing with it."""
    with pytest.raises(BadOption, match="is not for pool 'default', which is on an NFS export"):
        hosts.a.volumes.create("v", given)


def test_exclusive_takes_locks_that_others_see(hosts: Hosts) -> None:
    """With nolock each host would think that it is alone."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.share.kernel.options = "rw,vers=3,nolock,local_lock=all"
    with pytest.raises(StorageFailed, match=r"volume 'v'.*locks that no other host sees"):
        hosts.a.volumes.mount("v", "one")


def test_a_name_that_another_pool_has_is_left_alone(scratch: Path) -> None:
    """The volume that the host knows stays what it is, and the journal says so once."""
    share = Share(scratch / "share")
    pool, theirs = share.pool("a", name="nas"), share.pool("b")
    house = House(scratch, shared={"nas": pool}, pools={"default": FakePool()})
    house.volumes.create("v", None)
    other = House(_made(scratch / "b"), pools={}, shared={"default": theirs})
    other.volumes.create("v", None)
    (share.root / "volumes/not a name").mkdir()
    (share.root / "volumes/unreadable").mkdir()
    for _ in range(2):
        house.sharing.follow(pool)
    assert house.volumes.get("v").spec.pool == "default"
    assert house.journal.events.count("directory left alone") == 2
    assert house.journal.events.count("volume of another host cannot be read") == 1
    for each in (house, other):
        each.close()
    share.close()


def test_an_unreadable_removal_of_another_host_waits(hosts: Hosts) -> None:
    """It is taken in when it can be read; until then nothing is known of it."""
    hosts.a.volumes.create("v", None)
    volume = hosts.a.volumes.get("v")
    hosts.a.volumes.remove("v")
    descriptor = hosts.share.root / "trash" / volume.id / "volume.json"
    content = descriptor.read_text()
    descriptor.write_text("nonsense")
    hosts.follow(hosts.b)
    assert hosts.b.trash.all() == []
    descriptor.write_text(content)
    hosts.follow(hosts.b)
    assert [entry.id for entry in hosts.b.trash.all()] == [volume.id]


def test_an_exclusive_volume_that_another_host_took_meanwhile_is_told_of(hosts: Hosts) -> None:
    """The daemon was away, its container was not; another host's may run now too."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    hosts.share.kill(hosts.pools["a"], host=True)
    hosts.b.volumes.mount("v", "one")
    hosts.follow(hosts.a)
    assert "volume is mounted here, and other hosts do not know" in hosts.a.journal.events


def test_of_a_share_out_of_reach_no_claims_are_told(hosts: Hosts) -> None:
    """`pyvol claims` answers with what this host knows."""
    hosts.share.nas.stop()
    hosts.pools["a"].server._heard = 0.0
    assert hosts.a.showing.claims_elsewhere() == []


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


@pytest.mark.parametrize("spec", [{"path": "/"}, {"path": "/srv/x", "mode": 0o777}])
def test_a_share_gives_no_hosts_own_directories_away(hosts: Hosts, spec: dict[str, object]) -> None:
    """Who writes a descriptor on the share gets no other host to mount its own directories, or to change their mode."""
    hosts.a.volumes.create("v", None)
    file = hosts.share.root / "volumes/v/volume.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "spec": spec}))
    assert hosts.b.volumes.get("v").spec.path == spec["path"]
    with pytest.raises(StorageFailed, match=r"volume 'v': path= is not for pool"):
        hosts.b.volumes.mount("v", "one")


def test_a_copied_directory_takes_no_record_from_its_original(hosts: Hosts, scratch: Path) -> None:
    """A volume on the share with the id of another one is left alone and named, until it has an id of its own."""
    hosts.a.volumes.create("v", {"mode": "0700"})
    before = hosts.b.volumes.get("v")
    copy = hosts.share.root / "volumes/copy"
    copy.mkdir()
    (copy / "volume.json").write_text((hosts.share.root / "volumes/v/volume.json").read_text())
    hosts.follow(hosts.b)
    assert names(hosts.b) == ["v"]
    assert "is that of volume 'v'" in str(hosts.b.journal.lines)
    catalog = SqliteCatalog(scratch / "b/state", "boot-1")
    assert list(catalog.live()) == [before]
    catalog.close()
    descriptor = json.loads((copy / "volume.json").read_text())
    (copy / "volume.json").write_text(json.dumps({**descriptor, "id": "c" * 16}))
    hosts.follow(hosts.b)
    assert names(hosts.b) == ["copy", "v"]


def test_what_is_no_volume_on_a_share_is_left_alone_and_told_once(hosts: Hosts) -> None:
    """The follower comes by every few seconds, and what somebody else keeps there is not ours to judge."""
    hosts.a.volumes.create("v", None)
    (hosts.share.root / "volumes/not a name").mkdir()
    (hosts.share.root / "trash/not-an-id").mkdir()
    for _ in range(3):
        hosts.follow(hosts.b)
    assert hosts.b.journal.events.count("directory left alone") == 1
    assert names(hosts.b) == ["v"]
    assert list(hosts.b.trash.all()) == []


def test_a_busy_volume_keeps_no_other_from_being_learned(hosts: Hosts) -> None:
    """What another host did to the volume that is busy here is learned by a later round."""
    hosts.b.locks._wait_s = 0.05
    for name in ("v", "w"):
        hosts.a.volumes.create(name, None)
    with hosts.b.locks.hold("v"):
        hosts.follow(hosts.b)
    assert names(hosts.b) == ["w"]
    hosts.follow(hosts.b)
    assert names(hosts.b) == ["v", "w"]


def test_a_get_has_the_share_looked_at_and_waits_for_nothing(hosts: Hosts) -> None:
    """What another host removed is answered once more as it was known; the look makes the next answer right."""
    hosts.a.volumes.create("v", None)
    assert hosts.b.showing.find("v")[0].name == "v"
    nudged = []
    hosts.pools["b"].nudge = lambda: nudged.append("b")
    hosts.a.volumes.remove("v")
    assert hosts.b.showing.find("v")[0].name == "v"
    assert nudged == ["b"]
    hosts.follow(hosts.b)
    with pytest.raises(NoSuchVolume):
        hosts.b.showing.find("v")


def test_claims_on_other_pools_are_no_share_s_affair(scratch: Path) -> None:
    """When a share is told again what is mounted, a volume of this host's own pool is passed over."""
    share = Share(scratch / "share")
    (scratch / "a").mkdir()
    pool = share.pool("a", name="nas")
    house = House(scratch / "a", shared={"nas": pool})
    house.volumes.create("own", None)
    house.volumes.create("far", {"pool": "nas"})
    for name in ("own", "far"):
        house.volumes.mount(name, "id")
    house.sharing.hold_claimed(pool)
    assert list(pool.attached()) == ["far"]
    assert house.sharing.take_in("default", "own") is None
    house.close()
    share.close()
