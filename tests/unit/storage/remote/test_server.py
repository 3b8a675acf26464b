"""Servers, their workers and the circuit breaker, with real processes and a real server."""

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deadline import await_true
from fakes import FakeClock, FakeLog
from nullserver import NullServer
from pyvol.core.concurrency.circuit_breaker import Breaker
from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import Space
from pyvol.host.processes.worker_pool import Message, WorkerPool
from pyvol.storage.nfs import worker
from pyvol.storage.remote.mount_messages import OwnMount, Unmount
from pyvol.storage.remote.server import Server
from pyvol.storage.remote.servers import Servers

WORKER = worker.__name__


def test_a_server_that_goes_and_comes(tmp_path: Path) -> None:
    """While it is down each request fails at once with the time and the cause; pyvol notices its return."""
    log = FakeLog()
    request = OwnMount("v", str(tmp_path))
    back = threading.Event()
    nas = NullServer()
    server = Server("127.0.0.1", nas.port, 2.0, log, worker=WORKER)
    server.when_back(back.set)
    server.ask(request, Space)
    assert "answers (since" in server.summary()
    nas.stop()
    server._answered_at = 0.0
    down = r"127.0.0.1:\d+ does not answer \(since .*last error: Connection refused\)"
    with pytest.raises(StorageFailed, match=down):
        server.ask(request, Space)
    begun = time.monotonic()
    with pytest.raises(StorageFailed, match="does not answer"):
        server.ask(request, Space)
    assert time.monotonic() - begun < 1
    assert server.force(Unmount(str(tmp_path / "nothing")), bool) is False
    nas = NullServer(nas.port)
    assert back.wait(30)
    server.ask(request, Space)
    nas.stop()
    assert log.events == ["NFS server does not answer", "NFS server answers again"]
    server.stop()
    await_true(lambda: server.workers() == 0)


def test_a_server_that_is_not_wanted_is_not_probed(tmp_path: Path) -> None:
    """A misspelt name would be looked up for ever. The next request that needs the server probes it again."""
    nas = NullServer()
    nas.stop()
    server = Server("127.0.0.1", nas.port, 2.0, FakeLog(), worker=WORKER, wanted_s=0.0)
    with pytest.raises(StorageFailed, match="does not answer"):
        server.ask(OwnMount("v", str(tmp_path)), Space)
    await_true(lambda: not server._is_watched)
    nas = NullServer(nas.port)
    server.ask(OwnMount("v", str(tmp_path)), Space)
    server.stop()
    nas.stop()
    await_true(lambda: server.workers() == 0)


def test_a_server_that_has_no_volume_any_more_is_forgotten(tmp_path: Path) -> None:
    """A misspelt server that was asked once disappears from doctor and Prometheus when its volume is gone."""
    nas = NullServer()
    nas.stop()
    known = Servers(2.0, FakeLog(), worker=WORKER)
    server = known.at("127.0.0.1", nas.port)
    with pytest.raises(StorageFailed, match="does not answer"):
        server.ask(OwnMount("v", str(tmp_path)), Space)
    known.retire([server])
    assert (known.asked(), known.answering()) == ([server], {("127.0.0.1", str(nas.port)): False})
    known.retire([])
    assert (known.asked(), known.answering()) == ([], {})
    await_true(lambda: server.workers() == 0)


def test_two_servers_on_one_host_name_are_two(tmp_path: Path) -> None:
    """Each has its own metric and its own line in doctor: one that answers does not hide one that is dead."""
    dead, alive = NullServer(), NullServer()
    dead.stop()
    known = Servers(2.0, FakeLog(), worker=WORKER)
    with pytest.raises(StorageFailed, match="does not answer"):
        known.at("127.0.0.1", dead.port).ask(OwnMount("v", str(tmp_path)), Space)
    known.at("127.0.0.1", alive.port).ask(OwnMount("v", str(tmp_path)), Space)
    assert known.answering() == {("127.0.0.1", str(dead.port)): False, ("127.0.0.1", str(alive.port)): True}
    assert len({server.condition().what for server in known.asked()}) == 2
    known.stop()
    alive.stop()
    await_true(lambda: not any(server.workers() for server in known.asked()))


class LimitedPool(WorkerPool):
    """Workers of a host that starts no process while it is at its limit.

    Attributes:
        is_at_limit: whether it is.
        refused: how many requests got no process.
    """

    def __init__(self) -> None:
        super().__init__(WORKER, 1)
        self.is_at_limit = False
        self.refused = 0

    def call(self, request: Message, patience_s: float, look: Callable[[], None]) -> Message:
        """See `WorkerPool.call`."""
        if self.is_at_limit:
            self.refused += 1
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return super().call(request, patience_s, look)


def test_a_server_that_could_not_be_asked_is_asked_again(tmp_path: Path) -> None:
    """If no process can start, the server's state stays unknown; its return is noticed all the same."""
    nas = NullServer()
    prober = LimitedPool()
    server = Server("127.0.0.1", nas.port, 0.1, FakeLog(), worker=WORKER, prober=prober)
    request = OwnMount("v", str(tmp_path))
    prober.is_at_limit = True
    with pytest.raises(StorageFailed, match=r"pyvol cannot start a process that asks 127.0.0.1:\d+: .* try again"):
        server.ask(request, Space)
    prober.is_at_limit = False
    nas.stop()
    with pytest.raises(StorageFailed, match="does not answer"):
        server.ask(request, Space)
    prober.is_at_limit = True
    nas = NullServer(nas.port)
    await_true(lambda: prober.refused >= 3)
    prober.is_at_limit = False
    await_true(lambda: not server.is_down())
    server.ask(request, Space)
    server.stop()
    nas.stop()
    await_true(lambda: server.workers() == 0)


def test_a_workers_error_is_raised_as_if_it_had_happened_here(tmp_path: Path) -> None:
    """The error names the volume and the next step, and has the kernel's number."""
    nas = NullServer()
    server = Servers(5.0, FakeLog(), worker=WORKER).at("127.0.0.1", nas.port)
    with pytest.raises(StorageFailed, match=r"volume 'v' cannot be used.*No such file") as raised:
        server.ask(OwnMount("v", str(tmp_path / "gone")), Space)
    assert isinstance(raised.value.__cause__, OSError)
    server.stop()
    nas.stop()
    await_true(lambda: server.workers() == 0)


def test_the_breaker_knows_since_when() -> None:
    """The time is when the state changed, and not when the last probe was."""
    clock = FakeClock()
    breaker = Breaker("nas.lan", clock)
    assert breaker.summary() == "nas.lan has not been asked yet"
    assert breaker.failed("timed out")
    clock.forward(minutes=5)
    assert not breaker.failed("refused", "correct it")
    assert breaker.hint == "correct it"
    assert breaker.summary() == "nas.lan does not answer (since 12:00:00 UTC, last error: refused)"
    assert breaker.answered(0.0012)
    clock.forward(minutes=5)
    assert not breaker.answered(0.002)
    assert breaker.summary() == "nas.lan answers (since 12:05:00 UTC, last in 2.0 ms)"
