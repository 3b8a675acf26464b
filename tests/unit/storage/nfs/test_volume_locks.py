"""The locks of a host on a share: never taken for those of another volume, never lost without a word."""

import errno
import fcntl
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deadline import await_true
from fakes import FakeLog
from hosts import Hosts
from pyvol.core.errors import StorageFailed, VolumeInUse
from pyvol.core.model.volume import Access, Volume, VolumeSpec
from pyvol.host.processes.fd_store import FdStore
from pyvol.host.system.machine import since_boot_s
from pyvol.storage.nfs import lock_files, volume_locks
from pyvol.storage.remote.messages import Order, Relock, Relocked

OTHER_ID = "c" * 16


def make_anew(hosts: Hosts, name: str) -> None:
    """Have another volume at a name, as if removed and made anew by a host that nobody heard of."""
    descriptor = hosts.share.root / "volumes" / name / "volume.json"
    descriptor.write_text(json.dumps({**json.loads(descriptor.read_text()), "id": OTHER_ID}))


def free(hosts: Hosts, *which: int) -> None:
    """Have the server free locks that host a has on v."""
    for index in which:
        fcntl.flock(hosts.pools["a"]._volume_locks._held["v"][1][index], fcntl.LOCK_UN)


def locked(hosts: Hosts) -> list[str]:
    """Return what lies in the directory of the locks."""
    return sorted(entry.name for entry in (hosts.share.root / "locks").iterdir())


def test_a_lock_is_a_volumes_and_not_a_names(hosts: Hosts) -> None:
    """Who holds an exclusive volume does not hold the one that has come to its name, which another host has."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    make_anew(hosts, "v")
    hosts.b.volumes.mount("v", "one")
    with pytest.raises(VolumeInUse, match="is mounted on b"):
        hosts.a.volumes.mount("v", "two")
    assert [name for name in locked(hosts) if "@" in name] == [f"{OTHER_ID}@b"]
    hosts.b.volumes.unmount("v", "one")
    hosts.a.volumes.mount("v", "two")


@pytest.mark.parametrize("act", ["mount", "remove", "change"])
def test_what_is_done_by_a_stale_memory_is_refused(hosts: Hosts, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    """A host that could not ask whose a name is does nothing to a volume that it does not know, and keeps no lock."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    make_anew(hosts, "v")
    hosts.b.volumes.mount("v", "one")
    monkeypatch.setattr(hosts.pools["a"], "look_up", lambda _: None)  # the server took too long
    acts: dict[str, Callable[[], object]] = {
        "mount": lambda: hosts.a.volumes.mount("v", "two"),
        "remove": lambda: hosts.a.volumes.remove("v"),
        "change": lambda: hosts.a.volumes.change("v", {"protect": "true"}),
    }
    with pytest.raises(StorageFailed, match=r"volume 'v' is another one than this host knew.* try again"):
        acts[act]()
    assert json.loads((hosts.share.root / "volumes/v/volume.json").read_text())["id"] == OTHER_ID
    assert f"{OTHER_ID}@b" in locked(hosts)
    assert not hosts.pools["a"].attached()
    monkeypatch.undo()
    if act != "change":
        with pytest.raises(VolumeInUse, match="on b"):
            acts[act]()


def test_what_has_no_descriptor_is_removed_and_not_mounted(hosts: Hosts) -> None:
    """Whose a directory is that tells nothing, only who removes it need not know."""
    for name, content in (("v", None), ("w", "nonsense")):
        hosts.a.volumes.create(name, None)
        descriptor = hosts.share.root / "volumes" / name / "volume.json"
        descriptor.unlink()
        if content is not None:
            descriptor.write_text(content)
        with pytest.raises(StorageFailed, match=f"volume '{name}'"):
            hosts.a.volumes.mount(name, "one")
        hosts.a.volumes.remove(name)
    assert not list((hosts.share.root / "volumes").iterdir())


def test_a_lock_on_a_volume_that_is_gone_is_let_go_of(hosts: Hosts) -> None:
    """Another host removed it when this one was not heard of; nobody else would ever let go of it."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    free(hosts, 0, 1)
    hosts.follow(hosts.b)
    hosts.b.volumes.remove("v")
    hosts.follow(hosts.a)
    assert not hosts.pools["a"].attached()
    assert "lock of a volume that is gone let go of" in hosts.a.log.events


def test_a_lock_is_asked_for_again_after_a_while(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that slept is told by nobody that its locks are free: no lock is believed in for longer than a minute."""
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    free(hosts, 0, 1)
    hosts.a.shared_pools.hold_claimed(hosts.pools["a"])
    assert hosts.b.volume_status.foreign_claims().holders == []
    monkeypatch.setattr(volume_locks, "since_boot_s", lambda: since_boot_s() + 60)
    hosts.a.shared_pools.hold_claimed(hosts.pools["a"])
    assert [holder.host for holder in hosts.b.volume_status.foreign_claims().holders] == ["a"]
    with pytest.raises(VolumeInUse, match="in use on a"):
        hosts.b.volumes.remove("v")


def test_who_has_a_volume_is_said_anew(hosts: Hosts) -> None:
    """Another host has taken away what said it, when that was free; the lock on the volume is held all the while."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    first, second = hosts.pools["a"]._volume_locks._held["v"][1]
    free(hosts, 1)
    assert hosts.b.volume_status.foreign_claims().holders == []
    hosts.a.shared_pools.hold_claimed(hosts.pools["a"])
    assert [holder.host for holder in hosts.b.volume_status.foreign_claims().holders] == ["a"]
    assert hosts.pools["a"]._volume_locks._held["v"][1][0] == first
    hosts.share.kill(hosts.pools["a"])
    assert [holder.host for holder in hosts.b.volume_status.foreign_claims().holders] == ["a"]  # the keeper has it too
    await_true(lambda: not is_open(second))


def test_a_lost_lock_is_told_of(hosts: Hosts) -> None:
    """Another host has the volume since; the one that lost it says so, until it has it again or no container does."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    free(hosts, 0, 1)
    hosts.b.volumes.mount("v", "one")
    hosts.a.shared_pools.hold_claimed(hosts.pools["a"])
    log = hosts.pools["a"]._volume_locks._log
    assert isinstance(log, FakeLog)
    assert log.events == ["lock was lost"]
    assert "volume is mounted here, and other hosts do not know" in hosts.a.log.events
    assert "another host has had it" in hosts.a.volume_status.health(hosts.a.volumes.get("v"))
    with pytest.raises(VolumeInUse, match="is mounted on b"):
        hosts.a.volumes.mount("v", "two")
    hosts.a.volumes.unmount("v", "one")
    assert hosts.a.volume_status.health(hosts.a.volumes.get("v")) == "ok"
    hosts.b.volumes.unmount("v", "one")
    hosts.a.volumes.mount("v", "one")
    assert hosts.a.volume_status.health(hosts.a.volumes.get("v")) == "ok"


def test_a_lock_that_was_lost_for_a_while_is_told_of_once(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is held again, and another host may have had the volume; that holds until no container here has it."""
    pool = hosts.pools["a"]
    for name, access in (("v", "exclusive"), ("w", "shared")):
        hosts.a.volumes.create(name, {"access": access})
        hosts.a.volumes.mount(name, "one")
    ask = pool.server.ask

    def lapsed(order: Order, gives: type[Any], *rest: Any) -> Any:
        answer = ask(order, gives, *rest)
        return msgspec.structs.replace(answer, has_lapsed=True) if isinstance(order, Relock) else answer

    monkeypatch.setattr(pool.server, "ask", lapsed)
    pool.doubt_locks()
    for _ in range(2):
        hosts.a.shared_pools.hold_claimed(pool)
    log = pool._volume_locks._log
    assert isinstance(log, FakeLog)
    assert log.events == ["lock was lost"] * 2
    assert "its lock was lost for a while" in hosts.a.volume_status.health(hosts.a.volumes.get("v"))
    assert hosts.a.volume_status.health(hosts.a.volumes.get("w")) == "ok"
    with pytest.raises(VolumeInUse, match="is mounted on a"):
        hosts.b.volumes.mount("v", "two")
    hosts.a.volumes.unmount("v", "one")
    assert hosts.a.volume_status.health(hosts.a.volumes.get("v")) == "ok"


def test_a_lock_cannot_be_asked_for_without_a_free_file(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many files open as may be, nothing is known of the lock, no file stays open, and the lock is kept."""
    hosts.a.volumes.create("v", {"access": "exclusive"})
    hosts.a.volumes.mount("v", "one")
    made: list[int] = []

    def dup(file: int) -> int:
        if made:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.append(os.dup(file))
        return made[0]

    with monkeypatch.context() as patch:
        patch.setattr(volume_locks, "dup", dup)
        with pytest.raises(StorageFailed, match=r"volume 'v': its lock could not be asked for .* raise pyvol's limits"):
            hosts.a.volumes.mount("v", "two")
    assert not is_open(made[0])
    hosts.a.volumes.mount("v", "two")


def test_a_volume_that_is_busy_is_no_cause_for_alarm(scratch: Path) -> None:
    """Who holds its lock here is about to lock it on the share, or to let go of it."""
    hosts = Hosts(scratch, lock_wait_s=0.05)
    hosts.a.volumes.create("v", None)
    hosts.a.volumes.mount("v", "one")
    with hosts.a.locks.hold("v"):
        hosts.follow(hosts.a)
    assert "volume is mounted here, and other hosts do not know" not in hosts.a.log.events
    hosts.close()


def is_open(file: int) -> bool:
    """Tell whether a file of a lock is open under a number still."""
    link = Path(f"/proc/self/fd/{file}")
    return link.is_symlink() and "/share/" in str(link.readlink())


VOLUME = msgspec.convert(
    {"id": OTHER_ID, "name": "v", "spec": {}, "created": "2026-01-31T12:00:00Z", "phase": "ready"}, Volume
)
EXCLUSIVE = msgspec.structs.replace(VOLUME, spec=VolumeSpec(access=Access.EXCLUSIVE))


def opened(tmp_path: Path) -> list[int]:
    """Return two open files, as those of a lock."""
    return [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("first", "second")]


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EACCES, errno.ESTALE, errno.ENOENT, errno.EBADF])
def test_what_says_that_a_lock_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Another host has it, or the server knows nothing of the file."""
    monkeypatch.setattr(fcntl, "flock", failing(code))
    assert lock_files.reacquire(VOLUME, opened(tmp_path)) == Relocked(is_held=False, is_signed=False)


@pytest.mark.parametrize("code", [errno.EIO, errno.ETIMEDOUT, errno.EINTR, errno.ENOLCK])
def test_what_says_nothing_of_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A soft mount gives up: whether the lock is held is not known, so it is not let go of."""
    monkeypatch.setattr(fcntl, "flock", failing(code))
    files = opened(tmp_path)
    with pytest.raises(StorageFailed, match="volume 'v': could not lock it once more"):
        lock_files.reacquire(VOLUME, files)
    for file in files:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(file)


def test_the_lock_on_the_volume_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of the other file, which says who holds it; and one that is unlinked is nobody's lock."""
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO, "second"))
    assert lock_files.reacquire(VOLUME, opened(tmp_path)) == Relocked(is_held=True, is_signed=False)
    monkeypatch.undo()
    files = opened(tmp_path)
    (tmp_path / "first").unlink()
    assert lock_files.reacquire(VOLUME, files) == Relocked(is_held=False, is_signed=True)


@pytest.mark.parametrize(
    ("codes", "lapsed"), [((errno.EIO,) * 2, True), ((errno.EIO,), False), ((errno.EINVAL,), False)]
)
def test_who_may_not_read_by_a_lock_has_lost_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: Sequence[int], *, lapsed: bool
) -> None:
    """Linux goes on saying EIO to who reads a file whose lock a lease's end took; asked of exclusive volumes alone."""
    left = list(codes)

    def preadv(*_: object) -> int:
        if not left:
            return 0
        code = left.pop()
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "preadv", preadv)
    assert lock_files.reacquire(VOLUME, opened(tmp_path)) == Relocked(is_held=True, is_signed=True)
    assert lock_files.reacquire(EXCLUSIVE, opened(tmp_path)) == Relocked(
        is_held=True, is_signed=True, has_lapsed=lapsed
    )


def failing(code: int, name: str = "") -> Callable[[int, int], None]:
    """Return a flock(2) that fails for files of a name, or for all."""

    def flock(file: int, _: int) -> None:
        if str(Path(f"/proc/self/fd/{file}").readlink()).endswith(name):
            raise OSError(code, os.strerror(code))

    return flock


def test_files_behind_one_that_fails_are_closed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the child would keep a volume locked that its daemon has let go of."""
    files = opened(tmp_path)
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    lock_files.close(files)
    for file in files:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(file)


def test_locks_in_pools_that_are_gone_are_let_go_of(hosts: Hosts) -> None:
    """A keeper would keep them for good; what is claimed is in a container still, whatever the settings say."""
    for name in ("v", "w"):
        hosts.a.volumes.create(name, {"access": "exclusive"})
        hosts.a.volumes.mount(name, "one")
    keeping, log = FdStore(f"{hosts.share.root}-a", FakeLog()), FakeLog()
    hosts.share.kill(hosts.pools["a"])
    kept = keeping.take_over()
    volume_locks.let_go_of_strays(kept, {"default"}, lambda _: False, keeping, log)
    assert log.events == []
    unknown = opened(hosts.share.root)
    keeping.keep(b"of another version", unknown)
    kept[b"of another version"] = unknown
    volume_locks.let_go_of_strays(kept, set(), lambda volume: volume.name == "v", keeping, log)
    assert sorted(log.events) == [
        "lock in a pool that is gone let go of",
        "lock is kept",
        "lock of an earlier pyvol cannot be read, and is let go of",
    ]
    with pytest.raises(VolumeInUse, match="'v' has access=exclusive and is mounted on a"):
        hosts.b.volumes.mount("v", "two")

    def is_moved() -> bool:
        with suppress(VolumeInUse):
            return bool(hosts.b.volumes.mount("w", "two"))
        return False

    await_true(lambda: not any(map(is_open, unknown)))
    await_true(is_moved)
    keeping.close()
    after = FdStore(f"{hosts.share.root}-a", FakeLog())
    again = after.take_over()
    assert len(again) == 1
    after.close()
    for key in again:
        for file in (*again[key], *kept[key]):
            os.close(file)
