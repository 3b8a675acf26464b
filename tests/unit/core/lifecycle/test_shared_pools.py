"""Several hosts on one pool: what one does, the others know; and what only one may do, only one does."""

import itertools
import os
import re
import threading
import time
from pathlib import Path

import pytest

from fakes import FakePool
from hosts import Hosts
from house import House
from pyvol.core.errors import BadOption, NoSuchVolume, StorageFailed, VolumeExists, VolumeProtected
from pyvol.core.model.volume import Phase
from shares import Share


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def test_what_one_host_creates_the_other_has(hosts: Hosts) -> None:
    """A Get finds it at once, a List after the watcher's next look; with the same options and id."""
    hosts.a.volumes.create("v", {"mode": "0700"})
    assert hosts.b.volumes.get("v") == hosts.a.volumes.get("v")
    hosts.a.volumes.create("w", None)
    assert hosts.b.names() == ["v"]
    hosts.follow(hosts.b)
    assert hosts.b.names() == ["v", "w"]
    with pytest.raises(NoSuchVolume):
        hosts.b.volumes.get("nope")


def test_the_stamp_of_a_share_is_another_after_each_change(hosts: Hosts) -> None:
    """Create, remove and undelete change the stamp on other hosts; without the server it is None."""
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
    pool.server._answered_at = 0.0
    assert pool.stamp() is None


def test_unfinished_volumes_are_deleted_after_a_day(hosts: Hosts) -> None:
    """A staged volume is deleted when it is a day old; another host may still be creating a newer one."""
    hosts.a.volumes.create("v", None)
    staging = hosts.share.root / "staging"
    for name, age_s in (("new-old", 25 * 3600), ("new-young", 23 * 3600)):
        (staging / name / "_data").mkdir(parents=True)
        os.utime(staging / name, (time.time() - age_s,) * 2)
    hosts.b.shared_pools.clear_unfinished(hosts.pools["b"])
    assert [entry.name for entry in staging.iterdir()] == ["new-young"]
    assert "unfinished volumes deleted" in hosts.b.log.events
    hosts.share.nas.stop()
    hosts.pools["b"].server._answered_at = 0.0
    hosts.b.shared_pools.clear_unfinished(hosts.pools["b"])
    assert "unfinished volumes stay" in hosts.b.log.events


def test_one_name_becomes_one_volume(hosts: Hosts) -> None:
    """If two hosts create a name, one creates the volume; the other succeeds if the options are equal."""
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
    assert hosts.b.names() == []
    assert [entry.name for entry in hosts.b.trash.all()] == ["v"]
    hosts.b.trash.undelete("v")
    hosts.follow(hosts.a)
    assert hosts.a.names() == ["v"]
    hosts.a.volumes.remove("v")
    hosts.a.empty()
    hosts.follow(hosts.b)
    assert hosts.b.names() == []
    assert hosts.b.trash.all() == []


def test_options_that_another_host_changed_hold_here(hosts: Hosts) -> None:
    """A protected volume is protected on every host; a recreated one is mounted with its new options."""
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


def test_a_volume_that_this_host_has_not_seen_yet_is_removed(hosts: Hosts) -> None:
    """A Remove also removes a volume that another host created a moment ago; it is not taken for a retry."""
    hosts.a.volumes.create("v", None)
    hosts.b.volumes.remove("v")
    hosts.follow(hosts.a)
    assert hosts.a.names() == []


def test_with_the_server_down_each_host_answers_from_its_catalog(hosts: Hosts) -> None:
    """A known volume is known, an unknown one is not, and neither waits."""
    hosts.a.volumes.create("v", None)
    hosts.share.nas.stop()
    hosts.pools["a"].server._answered_at = 0.0
    with pytest.raises(StorageFailed, match=r"volume 'v' cannot be used: 127.0.0.1:\d+ does not answer"):
        hosts.a.volumes.mount("v", "one")
    assert hosts.a.volumes.get("v").phase is Phase.READY
    assert "does not answer" in hosts.a.volume_status.status(hosts.a.volumes.get("v"))["server"]
    with pytest.raises(NoSuchVolume):
        hosts.a.volumes.get("nope")
    with pytest.raises(StorageFailed):
        hosts.follow(hosts.a)
    assert hosts.a.names() == ["v"]


def test_a_mount_that_hangs_delays_no_other_request_for_long(scratch: Path) -> None:
    """A request that comes while the share is being mounted gets an error before its engine gives up."""
    hosts = Hosts(scratch, turn_wait_s=0.01)
    errors: list[str] = []

    def create() -> None:
        try:
            hosts.a.volumes.create("v", None)
        except StorageFailed as error:
            errors.append(str(error))

    with hosts.pools["a"]._mount._alone():
        asking = threading.Thread(target=create, daemon=True)
        asking.start()
        asking.join(30)
        assert re.match("volume 'v' cannot be .* has been mounting for", "".join(errors))
    hosts.a.volumes.create("v", None)
    hosts.close()


def test_a_directory_of_its_own_choice(hosts: Hosts) -> None:
    """`subdir` makes the directory where it is missing, keeps it at removal, and never gives it to two."""
    hosts.a.volumes.create("v", {"subdir": "team-a/{name}", "mode": "0750"})
    data = Path(hosts.a.volumes.mount("v", "one"))
    assert data == hosts.share.root / "team-a/v"
    assert data.stat().st_mode & 0o777 == 0o750
    (data / "file").write_text("kept")
    with pytest.raises(BadOption, match=r"subdir team-a is not free: it overlaps with team-a/v of volume 'v'"):
        hosts.a.volumes.create("w", {"subdir": "team-a"})
    hosts.a.volumes.unmount("v", "one")
    hosts.a.volumes.remove("v")
    assert (data / "file").read_text() == "kept"
    hosts.b.volumes.create("other", {"subdir": "team-a/v"})
    assert (Path(hosts.b.volumes.mount("other", "one")) / "file").read_text() == "kept"


def test_a_directory_that_another_host_takes_at_the_same_time_is_taken(hosts: Hosts) -> None:
    """A host looks once more when its own volume is made, and takes it back: of two at once none may stay."""
    hosts.b.catalog.after("find", 2, lambda: hosts.a.volumes.create("v", {"subdir": "team-a/v"}))
    with pytest.raises(
        BadOption, match=r"volume 'w' cannot be created: subdir team-a is not free: it overlaps with .* of volume 'v'"
    ):
        hosts.b.volumes.create("w", {"subdir": "team-a"})
    assert not (hosts.share.root / "volumes/w").exists()
    assert hosts.b.names() == []
    hosts.a.volumes.remove("v")
    hosts.a.catalog.after("find", 1, lambda: hosts.b.volumes.create("w", {"subdir": "team-a"}))
    with pytest.raises(BadOption, match=r"subdir team-a/v is not free: it overlaps with .* of volume 'w'"):
        hosts.a.trash.undelete("v")
    assert [entry.name for entry in (hosts.share.root / "volumes").iterdir()] == ["w"]


def test_a_directory_that_another_host_took_is_taken(hosts: Hosts) -> None:
    """This host asks the share for volumes that it does not know yet, before a create and an undelete."""
    hosts.a.volumes.create("v", {"subdir": "team-a/v"})
    (hosts.share.root / "volumes/unreadable").mkdir()
    with pytest.raises(
        BadOption,
        match=r"volume 'w' cannot be created: subdir team-a/v/w is not free: it overlaps with team-a/v of volume 'v'",
    ):
        hosts.b.volumes.create("w", {"subdir": "team-a/v/{name}"})
    assert not list((hosts.share.root / "team-a/v").iterdir())
    hosts.a.volumes.remove("v")
    hosts.b.volumes.create("w", {"subdir": "team-a"})
    with pytest.raises(BadOption, match=r"subdir team-a/v is not free: it overlaps with .* of volume 'w'"):
        hosts.a.trash.undelete("v")
    assert [entry.name for entry in (hosts.share.root / "volumes").iterdir() if entry.name != "unreadable"] == ["w"]
    hosts.share.nas.stop()
    hosts.pools["a"].server._answered_at = 0.0
    with pytest.raises(StorageFailed, match=r"volume 'x' cannot be used: 127.0.0.1:\d+ does not answer"):
        hosts.a.volumes.create("x", {"subdir": "x"})


def test_a_name_that_another_pool_has_is_left_alone(scratch: Path) -> None:
    """The volume that the host knows stays as it is, and the log reports the other one once."""
    share = Share(scratch / "share")
    pool, theirs = share.pool("a", name="nas"), share.pool("b")
    house = House(scratch, shared={"nas": pool}, pools={"default": FakePool()})
    house.volumes.create("v", None)
    other = House(_made(scratch / "b"), pools={}, shared={"default": theirs})
    other.volumes.create("v", None)
    (share.root / "volumes/not a name").mkdir()
    (share.root / "volumes/unreadable").mkdir()
    for _ in range(2):
        house.shared_pools.follow(pool)
    assert house.volumes.get("v").spec.pool == "default"
    assert house.log.events.count("directory left alone") == 2
    assert house.log.events.count("volume of another host cannot be read") == 1
    for each in (house, other):
        each.close()
    share.close()


def test_a_busy_volume_keeps_no_other_from_being_learned(scratch: Path) -> None:
    """A later round learns what another host did to a volume that is busy here."""
    hosts = Hosts(scratch, lock_wait_s=0.05)
    for name in ("v", "w"):
        hosts.a.volumes.create(name, None)
    with hosts.b.locks.hold("v"):
        hosts.follow(hosts.b)
    assert hosts.b.names() == ["w"]
    hosts.follow(hosts.b)
    assert hosts.b.names() == ["v", "w"]
    hosts.close()


def test_a_get_has_the_share_looked_at_and_waits_for_nothing(hosts: Hosts) -> None:
    """A first Get of a removed volume answers from memory; its refresh makes the next answer right."""
    hosts.a.volumes.create("v", None)
    assert hosts.b.volume_status.find("v")[0].name == "v"
    refreshed = []
    hosts.pools["b"].request_refresh = lambda: refreshed.append("b")
    hosts.a.volumes.remove("v")
    assert hosts.b.volume_status.find("v")[0].name == "v"
    assert refreshed == ["b"]
    hosts.follow(hosts.b)
    with pytest.raises(NoSuchVolume):
        hosts.b.volume_status.find("v")
