"""What the kernel and other hosts do to a lock or a request at the wrong moment."""

import errno
import fcntl
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from fakes import FakeLog
from flocks import locked
from hosts import Hosts
from pyvol.core.errors import StorageFailed, VolumeInUse
from pyvol.core.model.volume import Access, Phase, Volume, VolumeSpec
from pyvol.storage.nfs import lock_files, pool_id, volume_requests
from pyvol.storage.nfs.pool import NfsPool
from pyvol.storage.remote.messages import LockVolume, Place, PreparePool, Request, SignLock, VerifyLock
from shares import WatchedServer

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
VOLUME = Volume("c" * 16, "v", VolumeSpec(), NOW, Phase.READY)
EXCLUSIVE = msgspec.structs.replace(VOLUME, spec=VolumeSpec(access=Access.EXCLUSIVE))
flock = fcntl.flock


@pytest.fixture
def place(scratch: Path) -> Place:
    """A pool with a directory of locks."""
    lock_files.prepare(str(scratch))
    return Place("nas", str(scratch), "host-a")


def fail_locks(monkeypatch: pytest.MonkeyPatch, code: int, name: str = "", times: int = 1000) -> None:
    """Make flock(2) fail for files whose path ends with a name, so many times."""
    left = [code] * times

    def failing(file: int, operation: int) -> None:
        if left and operation != fcntl.LOCK_UN and path_of(file).endswith(name):
            raise OSError(left.pop(), os.strerror(code))
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", failing)


def before_locks(monkeypatch: pytest.MonkeyPatch, act: Callable[[str], object], times: int = 1) -> None:
    """Do something just before flock(2) locks a file, so many times."""
    left = [act] * times

    def late(file: int, operation: int) -> None:
        if left and operation != fcntl.LOCK_UN:
            left.pop()(path_of(file))
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)


def path_of(file: int) -> str:
    """Return the path of an open file."""
    return str(Path(f"/proc/self/fd/{file}").readlink())


def count_files() -> int:
    """Return how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def log_of(pool: NfsPool) -> FakeLog:
    """Return the log of a host's locks."""
    log = pool._volume_locks._log
    assert isinstance(log, FakeLog)
    return log


def test_a_lock_that_was_removed_while_it_was_taken_is_taken_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host has just removed the volume; a lock on an unlinked file would exclude nobody."""
    before_locks(monkeypatch, os.unlink)
    files = lock_files.acquire(place, EXCLUSIVE, NOW)
    assert os.fstat(files[0]).st_nlink == 1
    lock_files.close_all(files)


def test_a_lock_that_is_removed_again_and_again_is_an_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for a whole lock ends, and leaves no file open."""
    before_locks(monkeypatch, os.unlink, 1000)
    before = count_files()
    with pytest.raises(StorageFailed, match=r"volume 'v' .* its lock on the share is deleted again and again"):
        lock_files.acquire(place, EXCLUSIVE, NOW)
    assert count_files() == before


def test_a_stale_lock_file_is_opened_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server knows the name, and not the file that the kernel remembers."""
    fail_locks(monkeypatch, errno.ESTALE, times=2)
    files = lock_files.acquire(place, EXCLUSIVE, NOW)
    assert len(files) == 2
    lock_files.close_all(files)


@pytest.mark.parametrize(
    ("code", "message"),
    [(errno.ENOLCK, "the export has no locks .*; mount it with vers=4"), (errno.EIO, "Input/output error")],
)
def test_a_lock_that_fails_leaves_nothing_open(
    place: Place, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    """The error says what to do, whether the first or the second file of the lock fails."""
    before = count_files()
    for name in ("", "@host-a"):
        with monkeypatch.context() as patch:
            fail_locks(patch, code, name)
            with pytest.raises(StorageFailed, match=f"volume 'v'.*{message}"):
                lock_files.acquire(place, EXCLUSIVE, NOW)
    assert count_files() == before
    lock_files.close_all(lock_files.acquire(place, EXCLUSIVE, NOW))


def test_two_hosts_of_one_name_are_reported(place: Place) -> None:
    """Each would take the other's lock for its own."""
    file = locked(Path(place.root) / f"locks/{VOLUME.id}@host-a")
    with pytest.raises(
        VolumeInUse, match="another host, which is also called 'host-a', holds it; give each host a different"
    ):
        lock_files.acquire(place, VOLUME, NOW)
    os.close(file)


def test_a_volume_that_another_host_removes_is_not_mounted(place: Place) -> None:
    """The removal has the lock for itself, also if the volume is shared."""
    files = lock_files.acquire_for_removal(place, VOLUME)
    with pytest.raises(VolumeInUse, match="volume 'v' cannot be mounted: it is being removed on another host"):
        lock_files.acquire(Place("nas", place.root, "host-b"), VOLUME, NOW)
    lock_files.close_all(files)


def test_a_holder_that_leaves_while_it_is_looked_at_is_none(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file vanishes after the listing, before it is opened or while it is locked."""
    signed = Path(place.root) / f"locks/{VOLUME.id}@host-b"
    listed = os.listdir

    def listing(path: str) -> list[str]:
        names = listed(path)
        signed.unlink()
        return names

    signed.touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", listing)
        assert lock_files.holders(place) == []
    for code in (errno.ESTALE, errno.ENOENT):
        signed.touch()
        with monkeypatch.context() as patch:
            fail_locks(patch, code)
            assert lock_files.holders(place) == []


def test_a_holder_that_cannot_be_looked_at_is_an_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is then known not to have the volume."""
    signed = Path(place.root) / f"locks/{VOLUME.id}@host-b"
    signed.symlink_to("/etc/passwd")
    with pytest.raises(StorageFailed, match="pool 'nas' cannot be asked for its locks"):
        lock_files.holders(place)
    signed.unlink()
    signed.touch()
    fail_locks(monkeypatch, errno.EIO)
    with pytest.raises(StorageFailed, match="pool 'nas' cannot be asked for its locks"):
        lock_files.holders(place)
    assert signed.exists()


def test_a_pool_whose_root_fails_is_not_taken_for_a_new_one(scratch: Path) -> None:
    """Only a directory that is missing is made; another error is the server's, and nothing is made."""
    (scratch / "volumes").touch()
    with pytest.raises(StorageFailed, match=r"pool 'nas' cannot be read.*Not a directory"):
        volume_requests.prepare(PreparePool(Place("nas", str(scratch), "host-a"), is_new=True))
    assert [entry.name for entry in scratch.iterdir()] == ["volumes"]


def test_an_export_without_locks_is_used_without_them(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared volume is mounted and removed all the same; an exclusive one is not mounted."""
    for name, access in (("v", "shared"), ("w", "exclusive")):
        hosts.a.volumes.create(name, {"access": access})
    fail_locks(monkeypatch, errno.ENOLCK)
    hosts.a.volumes.mount("v", "one")
    assert log_of(hosts.pools["a"]).events == ["other hosts do not know of a mount"]
    with pytest.raises(StorageFailed, match=r"volume 'w' .* the export has no locks"):
        hosts.a.volumes.mount("w", "one")
    hosts.a.volumes.unmount("v", "one")
    hosts.a.volumes.remove("v")
    assert hosts.a.names() == ["w"]


def replace_before_lock(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make another host put another volume under the name v, just before this host has the lock."""
    manifest = hosts.share.root / "volumes/v/volume.json"
    other = json.dumps({**json.loads(manifest.read_text()), "id": "d" * 16})
    before_locks(monkeypatch, lambda _: manifest.write_text(other))


@pytest.mark.parametrize("act", ["mount", "remove"])
def test_a_volume_that_is_replaced_before_it_is_locked_is_met_as_it_is(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """The manifest is compared once more under the lock; the lock of the earlier volume is released."""
    hosts.a.volumes.create("v", None)
    earlier = hosts.a.volumes.get("v").id
    replace_before_lock(hosts, monkeypatch)
    if act == "mount":
        hosts.a.volumes.mount("v", "one")
        assert hosts.a.volumes.get("v").id == "d" * 16
    else:
        hosts.a.volumes.remove("v")
        assert [entry.id for entry in hosts.a.trash.all()] == ["d" * 16]
    assert not (hosts.share.root / f"locks/{earlier}@a").exists()
    assert "volume changed by another host" in hosts.a.log.events


def refuse(hosts: Hosts, kind: type[object]) -> None:
    """Make the server of host a refuse requests of a kind."""

    def fail(request: Request) -> None:
        if isinstance(request, kind):
            raise StorageFailed("127.0.0.1 answers, and has not done what it was asked")

    server = hosts.pools["a"].server
    assert isinstance(server, WatchedServer)
    server.asked = fail


def test_a_verification_that_fails_matters_for_exclusive_volumes_alone(hosts: Hosts) -> None:
    """Such a lock is not known to be held; a lock that only informs other hosts is verified later."""
    for access in ("shared", "exclusive"):
        hosts.a.volumes.create(access, {"access": access})
        hosts.a.volumes.mount(access, "one")
    pool = hosts.pools["a"]
    pool.invalidate_locks()
    refuse(hosts, VerifyLock)
    pool.hold(hosts.a.volumes.get("shared"))
    with pytest.raises(StorageFailed, match=r"volume 'exclusive' .* 127.0.0.1 answers"):
        pool.hold(hosts.a.volumes.get("exclusive"))
    assert sorted(pool.attached()) == ["exclusive", "shared"]


def test_a_lock_that_cannot_be_taken_matters_for_exclusive_volumes_alone(hosts: Hosts) -> None:
    """A shared volume is used without, and the log says so; while the server is down neither is used."""
    for access in ("shared", "exclusive"):
        hosts.a.volumes.create(access, {"access": access})
    pool = hosts.pools["a"]
    refuse(hosts, LockVolume)
    pool.hold(hosts.a.volumes.get("shared"))
    assert log_of(pool).events == ["other hosts do not know of a mount"]
    with pytest.raises(StorageFailed, match=r"volume 'exclusive' .* 127.0.0.1 answers"):
        pool.hold(hosts.a.volumes.get("exclusive"))
    refuse(hosts, type(None))  # no request is of this kind
    hosts.share.nas.stop()
    pool.server._answered_at = 0.0
    for access in ("shared", "exclusive"):
        with pytest.raises(StorageFailed, match=f"volume '{access}' .*does not answer"):
            pool.hold(hosts.a.volumes.get(access))
    assert pool._volume_locks.problem(hosts.a.volumes.get("shared")) == ""
    assert "another host has had it" in pool._volume_locks.problem(hosts.a.volumes.get("exclusive"))


def test_a_name_that_cannot_be_written_again_is_reported(hosts: Hosts) -> None:
    """The lock on the volume holds without the file that names this host."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    pool = hosts.pools["a"]
    (hosts.share.root / "locks" / f"{hosts.a.volumes.get('v').id}@a").unlink()
    pool.invalidate_locks()
    refuse(hosts, SignLock)
    pool.hold(hosts.a.volumes.get("v"))
    assert log_of(pool).events == ["other hosts cannot see who has a volume"]
    assert pool.attached() == ["v"]


def test_a_lock_that_the_fd_store_does_not_have_is_taken_again(hosts: Hosts) -> None:
    """Nothing else keeps its files, so it has ended."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    pool = hosts.pools["a"]
    (key,) = hosts.share.fd_stores[pool]._keys
    hosts.share.fd_stores[pool].drop(key)
    hosts.a.volumes.mount("v", "two")
    assert log_of(pool).events == ["lock_lost"]
    with pytest.raises(VolumeInUse, match="is mounted on a"):
        hosts.b.volumes.mount("v", "one")


def test_locks_that_are_kept_are_not_reported_as_lost(hosts: Hosts) -> None:
    """Another lock ended with an earlier fd store; the locks of other pools are not this pool's."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    pool = hosts.pools["a"]
    pool._volume_locks.notice_loss()
    assert log_of(pool).events == []
    other = hosts.share.pool("c", name="other")
    other.take_over(hosts.share.fd_stores[pool]._keys)
    assert other.attached() == []
    next_life = hosts.share.pool("d")
    next_life.take_over(hosts.share.fd_stores[pool]._keys)
    assert next_life.attached() == ["v"]


def test_a_server_that_is_down_is_not_asked_for_names(hosts: Hosts) -> None:
    """A name that may be another host's has no volume then; nothing is known of changes either."""
    hosts.a.volumes.create("v", None)
    pool = hosts.pools["b"]
    assert pool.look_up("v") is not None
    assert pool.stamp() is not None
    hosts.share.nas.stop()
    pool.server._answered_at = 0.0
    assert pool.look_up("v") is None
    assert (pool.look_up("v"), pool.stamp()) == (None, None)
    assert pool.problem(hosts.a.volumes.get("v")) == pool.server.summary()


def test_the_removal_record_of_a_trashed_volume_can_be_changed(hosts: Hosts) -> None:
    """For example until when it is kept."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.remove("v")
    (entry,) = hosts.a.trash.all()
    kept = msgspec.structs.replace(entry, until=None)
    hosts.pools["a"].write_manifest(kept)
    assert hosts.pools["b"].read_trashed(entry.id).until is None
    assert hosts.pools["b"].pending_deletion() == frozenset()


def test_a_deletion_of_several_volumes_is_undone_if_one_fails(hosts: Hosts) -> None:
    """Each is one request; what the first ones moved comes back."""
    for name in ("v", "w", "gone"):
        hosts.a.volumes.create(name, None)
    pool = hosts.pools["a"]
    volumes = [hosts.a.volumes.get(name) for name in ("gone", "v", "w")]
    (hosts.share.root / "volumes/gone").rename(hosts.share.root / "aside")
    manifest = hosts.share.root / "volumes/w/volume.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "id": "d" * 16}))
    with pytest.raises(StorageFailed, match="volume 'w' cannot be used: another host has removed it"):
        pool.stage_deletion(*volumes)
    assert pool.listing() == (frozenset({"v", "w"}), frozenset(), frozenset())
    assert pool.read_live("v").id == volumes[1].id


@pytest.mark.parametrize("code", [errno.EPERM, errno.EIO])
def test_a_file_system_without_hard_links_has_a_pool_too(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Its id is renamed into its place. After another error nothing is known, and nothing is left behind."""

    def link(*_: str) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)
    if code == errno.EPERM:
        assert pool_id.identify(str(scratch)) == pool_id.identify(str(scratch))
        assert [entry.name for entry in scratch.iterdir()] == ["pyvol.pool"]
    else:
        with pytest.raises(OSError, match="Input/output error"):
            pool_id.identify(str(scratch))
        assert list(scratch.iterdir()) == []


def test_a_pool_whose_root_is_missing_has_no_id(scratch: Path) -> None:
    """That is an error, and not a pool without a name."""
    with pytest.raises(FileNotFoundError):
        pool_id.identify(str(scratch / "missing"))


def test_a_pool_id_that_cannot_be_recorded_is_reported(scratch: Path) -> None:
    """The pool can be used all the same."""
    log = FakeLog()
    pool_id.KnownPoolId(str(scratch / "missing/pool"), log).write("a")
    assert log.events == ["the id of a pool is not recorded"]
