"""Locks of volumes on a share: verified, lost, taken again and released; kept by the fd store alone."""

import errno
import fcntl
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

import flocks
from deadline import await_true
from fakes import FakeLog
from flocks import limited
from hosts import Hosts
from pyvol.core.errors import StorageFailed, VolumeInUse
from pyvol.core.model.volume import Access, Volume, VolumeSpec
from pyvol.host.processes.fd_store import FdStore
from pyvol.storage.nfs import held_locks, lock_files
from pyvol.storage.remote.messages import Attached, AttachReply, Relocked, Request
from shares import WatchedServer, unlock

OTHER_ID = "c" * 16


def replace_volume(hosts: Hosts, name: str) -> None:
    """Put another volume under a name, as a host does that removes the volume and creates it again."""
    manifest = hosts.share.root / "volumes" / name / "volume.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "id": OTHER_ID}))


def free(hosts: Hosts, *which: int) -> None:
    """Free locks that host a has on v, as their server does."""
    files = hosts.share.files(hosts.pools["a"], "v")
    unlock([files[index] for index in which])
    for index, file in enumerate(files):
        if index not in which:
            os.close(file)


def locked(hosts: Hosts) -> list[str]:
    """Return the names in the directory of the locks."""
    return sorted(entry.name for entry in (hosts.share.root / "locks").iterdir())


def log_of(hosts: Hosts) -> FakeLog:
    """Return the log of host a's locks."""
    log = hosts.pools["a"]._volume_locks._log
    assert isinstance(log, FakeLog)
    return log


def test_a_lock_is_a_volumes_and_not_a_names(hosts: Hosts) -> None:
    """A host that holds an exclusive volume does not hold another volume that gets its name."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    replace_volume(hosts, "v")
    hosts.b.volumes.mount("v", "one")
    with pytest.raises(VolumeInUse, match="is mounted on b"):
        hosts.a.volumes.mount("v", "two")
    assert [name for name in locked(hosts) if "@" in name] == [f"{OTHER_ID}@b"]
    hosts.b.volumes.unmount("v", "one")
    hosts.a.volumes.mount("v", "two")


@pytest.mark.parametrize("act", ["mount", "remove"])
def test_an_act_by_an_old_memory_meets_the_volume_of_today(hosts: Hosts, act: str) -> None:
    """Another host recreated the volume and mounted it: the same request tells this host, and is refused."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    replace_volume(hosts, "v")
    hosts.b.volumes.mount("v", "one")
    acts: dict[str, Callable[[], object]] = {
        "mount": lambda: hosts.a.volumes.mount("v", "two"),
        "remove": lambda: hosts.a.volumes.remove("v"),
    }
    with pytest.raises(VolumeInUse, match="on b"):
        acts[act]()
    assert hosts.a.volumes.get("v").id == OTHER_ID
    assert "volume changed by another host" in hosts.a.log.events
    assert [name for name in locked(hosts) if "@" in name] == [f"{OTHER_ID}@b"]
    assert not hosts.pools["a"].attached()


def test_a_manifest_of_another_volume_is_not_written_over(hosts: Hosts) -> None:
    """A host that does not know yet whose a name is changes nothing of the volume that has the name now."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    volume = hosts.a.volumes.get("v")
    replace_volume(hosts, "v")
    for act in (hosts.pools["a"].write_manifest, hosts.pools["a"].stage_deletion):
        with pytest.raises(
            StorageFailed,
            match=r"'v' cannot be used: another host has removed it .* try again",
        ):
            act(volume)
    assert json.loads((hosts.share.root / "volumes/v/volume.json").read_text())["id"] == OTHER_ID


def test_a_volume_without_a_manifest_is_removed_and_not_mounted(hosts: Hosts) -> None:
    """Nothing says whose the directory is, and only a removal does not need to know that."""
    for name, content in (("v", None), ("w", "nonsense")):
        hosts.a.volumes.create(name, None)
        manifest = hosts.share.root / "volumes" / name / "volume.json"
        manifest.unlink()
        if content is not None:
            manifest.write_text(content)
        with pytest.raises(StorageFailed, match=f"volume '{name}'"):
            hosts.a.volumes.mount(name, "one")
        hosts.a.volumes.remove(name)
    assert not list((hosts.share.root / "volumes").iterdir())


def test_a_lock_on_a_volume_that_is_gone_is_released(hosts: Hosts) -> None:
    """Another host removed the volume while this host was cut off; nothing else would release the lock."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    free(hosts, 0, 1)
    hosts.follow(hosts.b)
    hosts.b.volumes.remove("v")
    hosts.follow(hosts.a)
    assert not hosts.pools["a"].attached()
    assert "lock of a deleted volume released" in hosts.a.log.events


def test_a_lock_is_verified_after_a_while(hosts: Hosts) -> None:
    """A host that slept does not know that its locks are free: no lock counts as held for over a minute."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    free(hosts, 0, 1)
    hosts.a.shared_pools.hold_claimed(hosts.pools["a"])
    assert hosts.b.volume_status.foreign_claims().holders == []
    hosts.share.clock.forward(seconds=60)
    hosts.a.shared_pools.hold_claimed(hosts.pools["a"])
    assert [holder.host for holder in hosts.b.volume_status.foreign_claims().holders] == ["a"]
    with pytest.raises(VolumeInUse, match="in use on a"):
        hosts.b.volumes.remove("v")


def test_which_host_has_a_volume_is_written_again(hosts: Hosts) -> None:
    """Another host deleted the unlocked file that named this one; the volume's lock is held all the time."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    free(hosts, 1)
    assert hosts.b.volume_status.foreign_claims().holders == []
    hosts.a.shared_pools.hold_claimed(hosts.pools["a"])
    assert [holder.host for holder in hosts.b.volume_status.foreign_claims().holders] == ["a"]
    hosts.share.kill(hosts.pools["a"])
    assert [holder.host for holder in hosts.b.volume_status.foreign_claims().holders] == [
        "a"
    ]  # the fd store has the file
    await_true(lambda: not has_open_lock())


def test_the_daemon_has_no_lock_open(hosts: Hosts) -> None:
    """Only the fd store has: neither a Mount, nor a verification, nor an Unmount leaves a file open."""
    for access in ("exclusive", "shared"):
        hosts.a.volumes.create(access, {"access": access})
        hosts.a.volumes.mount(access, "one")
        hosts.pools["a"].invalidate_locks()
        hosts.a.volumes.mount(access, "two")
        hosts.a.shared_pools.hold_claimed(hosts.pools["a"])
        assert not has_open_lock()
        hosts.a.volumes.unmount(access, "one")
        hosts.a.volumes.unmount(access, "two")
    await_true(lambda: not has_open_lock())
    assert locked(hosts) == sorted(hosts.a.volumes.get(name).id for name in ("exclusive", "shared"))


def test_a_lost_lock_is_reported(hosts: Hosts) -> None:
    """Another host has the volume since.

    This host reports that until it has the lock again, or no container has it.
    """
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    free(hosts, 0, 1)
    hosts.b.volumes.mount("v", "one")
    hosts.a.shared_pools.hold_claimed(hosts.pools["a"])
    assert log_of(hosts).events == ["lock_lost"]
    assert "volume is mounted here, and other hosts do not know" in hosts.a.log.events
    assert "another host has had it" in hosts.a.volume_status.health(hosts.a.volumes.get("v"))
    with pytest.raises(VolumeInUse, match="is mounted on b"):
        hosts.a.volumes.mount("v", "two")
    hosts.a.volumes.unmount("v", "one")
    assert hosts.a.volume_status.health(hosts.a.volumes.get("v")) == "ok"
    hosts.b.volumes.unmount("v", "one")
    hosts.a.volumes.mount("v", "one")
    assert hosts.a.volume_status.health(hosts.a.volumes.get("v")) == "ok"


def test_a_lock_that_was_lost_for_a_while_is_reported_once(hosts: Hosts) -> None:
    """The lock is held again, and the possible use by another host is reported until the last Unmount."""
    pool = hosts.pools["a"]
    for name, access in (("v", "exclusive"), ("w", "shared")):
        hosts.a.volumes.create(name, {"access": access})
        hosts.a.volumes.mount(name, "one")

    def expired(_: Request, answer: object) -> object:
        return msgspec.structs.replace(answer, has_expired=True) if isinstance(answer, Relocked) else answer

    server_of(hosts).answered = expired
    pool.invalidate_locks()
    for _ in range(2):
        hosts.a.shared_pools.hold_claimed(pool)
    assert log_of(hosts).events == ["lock_lost"] * 2
    assert "its lock was lost for a while" in hosts.a.volume_status.health(hosts.a.volumes.get("v"))
    assert hosts.a.volume_status.health(hosts.a.volumes.get("w")) == "ok"
    with pytest.raises(VolumeInUse, match="is mounted on a"):
        hosts.b.volumes.mount("v", "two")
    hosts.a.volumes.unmount("v", "one")
    assert hosts.a.volume_status.health(hosts.a.volumes.get("v")) == "ok"


def test_a_mount_finds_that_a_lock_was_lost_for_a_while(hosts: Hosts) -> None:
    """The one request of a Mount verifies the lock too, and reports what it finds."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")

    def expired(_: Request, answer: object) -> object:
        if isinstance(answer, AttachReply) and isinstance(answer.result, Attached):
            relocked = Relocked(is_held=True, is_signed=True, has_expired=True)
            return AttachReply(msgspec.structs.replace(answer.result, relocked=relocked))
        return answer

    server_of(hosts).answered = expired
    hosts.a.volumes.mount("v", "two")
    assert log_of(hosts).events == ["lock_lost"]


def test_a_lock_cannot_be_verified_without_a_free_descriptor(hosts: Hosts) -> None:
    """With as many files open as it may, pyvol does not know whether it has the lock, and keeps it."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    with (
        limited(os.getpid(), 1),
        pytest.raises(StorageFailed, match=r"'v' cannot be locked .* cannot be verified: .* raise pyvol's limits"),
    ):
        hosts.a.volumes.mount("v", "two")
    assert not has_open_lock()
    hosts.a.volumes.mount("v", "two")


def test_a_volume_that_is_busy_is_not_reported(scratch: Path) -> None:
    """The request that has it busy is about to lock it on the share, or to release it."""
    hosts = Hosts(scratch, lock_wait_s=0.05)
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    with hosts.a.locks.hold("v"):
        hosts.follow(hosts.a)
    assert "volume is mounted here, and other hosts do not know" not in hosts.a.log.events
    hosts.close()


def server_of(hosts: Hosts) -> WatchedServer:
    """Return the server as host a has it."""
    server = hosts.pools["a"].server
    assert isinstance(server, WatchedServer)
    return server


def has_open_lock() -> bool:
    """Return whether this process has a file of a lock open."""
    links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return any("/share/locks/" in str(link.readlink()) for link in links)


VOLUME = msgspec.convert(
    {"id": OTHER_ID, "name": "v", "spec": {}, "created": "2026-01-31T12:00:00Z", "phase": "ready"}, Volume
)
EXCLUSIVE = msgspec.structs.replace(VOLUME, spec=VolumeSpec(access=Access.EXCLUSIVE))


def opened(tmp_path: Path) -> list[int]:
    """Return two open files, as a lock has."""
    return [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("first", "second")]


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EACCES, errno.ESTALE, errno.ENOENT, errno.EBADF])
def test_which_errors_mean_that_a_lock_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Another host has it, or the server does not know the file."""
    monkeypatch.setattr(fcntl, "flock", failing(code))
    assert lock_files.reacquire(VOLUME, opened(tmp_path)) == Relocked(is_held=False, is_signed=False)


@pytest.mark.parametrize("code", [errno.EIO, errno.ETIMEDOUT, errno.EINTR, errno.ENOLCK])
def test_which_errors_mean_nothing_for_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A soft mount gives up: it is not known whether the lock is held, so the lock is kept."""
    monkeypatch.setattr(fcntl, "flock", failing(code))
    files = opened(tmp_path)
    with pytest.raises(StorageFailed, match="volume 'v' cannot be locked against other hosts"):
        lock_files.reacquire(VOLUME, files)
    for file in files:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(file)


def test_the_lock_on_the_volume_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure to lock the file that names the host is ignored; a lock on a deleted file does not count."""
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO, "second"))
    assert lock_files.reacquire(VOLUME, opened(tmp_path)) == Relocked(is_held=True, is_signed=False)
    monkeypatch.undo()
    files = opened(tmp_path)
    (tmp_path / "first").unlink()
    assert lock_files.reacquire(VOLUME, files) == Relocked(is_held=False, is_signed=True)


@pytest.mark.parametrize(
    ("codes", "expired"), [((errno.EIO,) * 2, True), ((errno.EIO,), False), ((errno.EINVAL,), False)]
)
def test_a_file_that_cannot_be_read_has_lost_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: Sequence[int], *, expired: bool
) -> None:
    """Linux fails each read of a file whose lock ended with a lease; pyvol tries it for exclusive volumes."""
    left = list(codes)

    def preadv(*_: object) -> int:
        if not left:
            return 0
        code = left.pop()
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "preadv", preadv)
    assert lock_files.reacquire(VOLUME, opened(tmp_path)) == Relocked(is_held=True, is_signed=True)
    assert lock_files.reacquire(EXCLUSIVE, opened(tmp_path)) == Relocked(
        is_held=True, is_signed=True, has_expired=expired
    )


def failing(code: int, name: str = "") -> Callable[[int, int], None]:
    """Return a flock(2) that fails for files with a name, or for all files."""

    def flock(file: int, _: int) -> None:
        if str(Path(f"/proc/self/fd/{file}").readlink()).endswith(name):
            raise OSError(code, os.strerror(code))

    return flock


def test_files_behind_one_that_fails_are_closed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the worker would keep a volume locked that its daemon has released."""
    files = opened(tmp_path)
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    lock_files.close_all(files)
    for file in files:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(file)


def test_locks_in_pools_that_are_gone_are_released(hosts: Hosts) -> None:
    """The fd store would keep them for ever; a claimed volume stays locked, whatever the settings say."""
    for name in ("v", "w"):
        hosts.a.volumes.create(name, {"access": "exclusive"})
        hosts.a.volumes.mount(name, "one")
    hosts.share.kill(hosts.pools["a"])
    fd_store, log = FdStore(f"{hosts.share.root}-a", FakeLog()), FakeLog()
    keys = fd_store.take_over()
    held_locks.release_strays(keys, {"default"}, lambda _: False, fd_store, log)
    assert log.events == []
    unknown = hosts.share.root / "unknown"
    file = flocks.locked(unknown)
    fd_store.keep(b"of another version", [file])
    os.close(file)
    keys.append(b"of another version")
    held_locks.release_strays(keys, set(), lambda volume: volume.name == "v", fd_store, log)
    assert sorted(log.events) == [
        "lock in a pool that is gone released",
        "lock is kept",
        "lock of an earlier pyvol cannot be read, and is released",
    ]
    with pytest.raises(VolumeInUse, match="'v' cannot be mounted: it has access=exclusive and is mounted on a"):
        hosts.b.volumes.mount("v", "two")

    def is_moved() -> bool:
        with suppress(VolumeInUse):
            return bool(hosts.b.volumes.mount("w", "two"))
        return False

    await_true(lambda: flocks.is_free(unknown))
    await_true(is_moved)
    fd_store.close()
    after = FdStore(f"{hosts.share.root}-a", FakeLog())
    assert len(after.take_over()) == 1
    after.close()


def test_an_fd_store_that_is_killed_is_noticed_at_once(hosts: Hosts) -> None:
    """Its locks ended with it. The daemon reports each, and has another fd store keep them again."""
    for name, access in (("v", "exclusive"), ("w", "shared")):
        hosts.a.volumes.create(name, {"access": access})
        hosts.a.volumes.mount(name, "one")
    pool = hosts.pools["a"]
    hosts.share.fd_stores[pool].when_lost(lambda: hosts.a.shared_pools.hold_claimed(pool))
    hosts.share.kill_fd_store(pool)
    await_true(lambda: [holder.host for holder in hosts.b.volume_status.foreign_claims().holders] == ["a", "a"])
    assert log_of(hosts).events == ["lock_lost"] * 2
    expired = "its lock was lost for a while"  # the fd store has the new lock a moment after other hosts see it
    await_true(lambda: expired in hosts.a.volume_status.health(hosts.a.volumes.get("v")))
    with pytest.raises(VolumeInUse, match="is mounted on a"):
        hosts.b.volumes.mount("v", "two")
    hosts.a.volumes.unmount("v", "one")
    assert hosts.a.volume_status.health(hosts.a.volumes.get("v")) == "ok"
    hosts.b.volumes.mount("v", "two")


def test_a_lock_that_another_host_took_from_a_killed_fd_store_is_reported(hosts: Hosts) -> None:
    """It cannot be taken again, so both hosts run containers of an exclusive volume."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    pool = hosts.pools["a"]
    noticed = threading.Event()
    hosts.share.fd_stores[pool].when_lost(noticed.set)
    hosts.share.kill_fd_store(pool)
    hosts.b.volumes.mount("v", "one")
    assert noticed.wait(30)
    hosts.a.shared_pools.hold_claimed(pool)
    assert log_of(hosts).events == ["lock_lost"]
    assert "another host has had it" in hosts.a.volume_status.health(hosts.a.volumes.get("v"))
    assert "volume is mounted here, and other hosts do not know" in hosts.a.log.events
    hosts.a.volumes.unmount("v", "one")
    assert hosts.a.volume_status.health(hosts.a.volumes.get("v")) == "ok"


@pytest.mark.parametrize("is_still_there", [True, False])
def test_a_lock_that_ended_while_no_daemon_ran_is_reported(hosts: Hosts, *, is_still_there: bool) -> None:
    """If the daemon and its fd store are killed together, only the claim knows of the container."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    hosts.share.kill_host(hosts.pools["a"])
    hosts.follow(hosts.b)
    hosts.b.volumes.mount("v", "two")
    if not is_still_there:
        hosts.b.volumes.unmount("v", "two")
    for _ in range(2):
        hosts.follow(hosts.a)
    assert log_of(hosts).events == ["lock_lost"]
    expected = "another host has had it" if is_still_there else "its lock was lost for a while"
    assert expected in hosts.a.volume_status.health(hosts.a.volumes.get("v"))
    hosts.a.volumes.unmount("v", "one")
    assert hosts.a.volume_status.health(hosts.a.volumes.get("v")) == "ok"


def test_an_exclusive_volume_without_an_fd_store_is_not_mounted(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would keep its lock. A lock that only informs other hosts is no reason to refuse a Mount."""
    for access in ("exclusive", "shared"):
        hosts.a.volumes.create(access, {"access": access})
    hosts.a.volumes.mount("shared", "one")  # a worker is idle from now on
    hosts.a.volumes.unmount("shared", "one")
    hosts.share.kill_fd_store(hosts.pools["a"])
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/program")
        with pytest.raises(
            StorageFailed, match=r"'exclusive' cannot be locked .* no process keeps its lock: .* try again"
        ):
            hosts.a.volumes.mount("exclusive", "one")
        hosts.a.volumes.mount("shared", "one")
    assert log_of(hosts).events[-1] == "other hosts do not know of a mount"
    assert hosts.b.volume_status.foreign_claims().holders == []
    assert not has_open_lock()
    hosts.b.volumes.mount("exclusive", "two")
