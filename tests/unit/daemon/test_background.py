"""The background threads, and the garbage collector."""

import threading
import time
from pathlib import Path

from deadline import await_true
from fakes import FakeLog, FakePool
from house import House
from pyvol.config import settings
from pyvol.daemon.app import Daemon
from pyvol.daemon.background import BackgroundThread, GarbageCollector, stop_all

PATIENCE_S = 30.0


def test_a_thread_works_when_something_wakes_it() -> None:
    """A thread works at its start only if it should, and once for each wake."""
    worked = threading.Semaphore(0)
    thread = BackgroundThread(worked.release, FakeLog(), "t")
    thread.start(at_once=False)
    assert not worked.acquire(timeout=0.05)
    for _ in range(2):
        thread.wake()
        assert worked.acquire(timeout=PATIENCE_S)
    assert not worked.acquire(timeout=0.05)
    stop_all([thread])
    assert not thread._thread.is_alive()


def test_a_thread_works_at_intervals() -> None:
    """Nobody has to wake it, and its work may change how long it pauses."""
    worked = threading.Semaphore(0)
    thread = BackgroundThread(worked.release, FakeLog(), "t", lambda: 0.01)
    thread.start(at_once=False)
    for _ in range(3):
        assert worked.acquire(timeout=PATIENCE_S)
    stop_all([thread])
    assert not thread._thread.is_alive()


def test_an_unexpected_error_does_not_end_a_thread() -> None:
    """It is logged with its traceback, and the thread works again."""
    log, failed, error = FakeLog(), threading.Semaphore(0), ValueError("a bug")

    def work() -> None:
        failed.release()
        raise error

    thread = BackgroundThread(work, log, "t")
    thread.start()
    assert failed.acquire(timeout=PATIENCE_S)
    thread.wake()
    assert failed.acquire(timeout=PATIENCE_S)
    stop_all([thread])
    assert log.lines == [("warning", "background work failed", {"exc_info": error})] * 2


def test_a_stop_waits_for_all_threads_together_no_longer_than_once() -> None:
    """Many threads that are all at work do not add up to a stop that systemd or Docker would kill."""
    at_work, done = threading.Semaphore(0), threading.Event()

    def work() -> None:
        at_work.release()
        done.wait(PATIENCE_S)

    threads = [BackgroundThread(work, FakeLog(), f"t{number}") for number in range(20)]
    for thread in threads:
        thread.start()
        at_work.acquire()
    begun = time.monotonic()
    stop_all(threads, 0.2)
    assert 0.2 <= time.monotonic() - begun < 4
    done.set()
    stop_all(threads, PATIENCE_S)
    assert not any(thread._thread.is_alive() for thread in threads)


def test_a_deletion_that_takes_long_holds_up_no_other_pool(scratch: Path) -> None:
    """While a large tree of a slow disk is deleted, another pool's garbage goes, and the trash expires."""
    pools = {name: FakePool(name) for name in ("default", "slow")}
    collector = GarbageCollector(FakeLog())
    house = House(scratch, pools=pools, collect_garbage=collector.wake)
    under_way, done = threading.Event(), threading.Event()

    def purge_slowly() -> bool:
        under_way.set()
        done.wait(PATIENCE_S)
        return house.purge.purge(pools["slow"])

    purges = {"slow": purge_slowly, "default": lambda: house.purge.purge(pools["default"])}
    house.volumes.create("large", {"pool": "slow", "on_remove": "delete"})
    house.volumes.remove("large")

    def collect() -> None:
        house.expire()

    collector.start(collect, purges)
    assert under_way.wait(PATIENCE_S)
    for name in ("one", "two"):
        house.volumes.create(name, {"on_remove": "delete"})
        house.volumes.remove(name)
        await_true(lambda: not pools["default"].staged)
    house.volumes.create("over", None)
    house.volumes.remove("over")
    house.clock.forward(days=8)
    collector.wake()
    await_true(lambda: not pools["default"].trashed and not pools["default"].staged)
    assert pools["slow"].staged
    done.set()
    await_true(lambda: not pools["slow"].staged)
    stop_all(collector.threads)
    house.close()


def test_a_deletion_that_made_room_has_the_trash_looked_at_again() -> None:
    """A pool that is short of room loses one volume at a time, and not one a minute."""
    collected = threading.Semaphore(0)
    deleted = [True, True, False]
    collector = GarbageCollector(FakeLog())

    def collect() -> None:
        collected.release()
        collector.threads[1].wake()

    collector.start(collect, {"default": lambda: bool(deleted) and deleted.pop(0)})
    for _ in range(3):
        assert collected.acquire(timeout=PATIENCE_S)
    stop_all(collector.threads)


def test_each_pool_of_the_settings_has_its_thread(tmp_path: Path) -> None:
    """The daemon collects garbage in all of them, and waits for all threads when it stops."""
    for root in ("root", "slow"):
        (tmp_path / root).mkdir()
    file = tmp_path / "pyvol.toml"
    file.write_text(f'root = "{tmp_path}/root"\n[pools.slow]\nkind = "local"\npath = "{tmp_path}/slow"\n')
    file.chmod(0o600)
    daemon = Daemon(settings.load(settings.read_file(file)), FakeLog())
    daemon.start()
    asked = daemon.flask.test_client()
    for pool in ("default", "slow"):
        for verb, opts in (("Create", {"pool": pool, "on_remove": "delete"}), ("Remove", {})):
            reply = asked.post(f"/VolumeDriver.{verb}", json={"Name": "v", "Opts": opts})
            assert reply.json == {"Err": ""}
    await_true(lambda: not [*tmp_path.glob("*/staging/*")])
    names = {"garbage collector", "purge default", "purge slow", "counter"}
    assert names <= {thread.name for thread in threading.enumerate()}
    daemon.stopping()
    daemon.stop()
    assert not names & {thread.name for thread in threading.enumerate()}
