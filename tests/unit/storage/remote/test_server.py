"""Servers, their children, and the breaker that says when not to ask: with real processes and a real server."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from deadline import await_true
from fakes import FakeClock, FakeLog
from nullserver import NullServer
from pyvol.core.concurrency.circuit_breaker import Breaker
from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import Space
from pyvol.storage.remote import server as server_module
from pyvol.storage.remote.messages import Own, Unmount
from pyvol.storage.remote.server import Server, Servers


def test_a_server_that_goes_and_comes(tmp_path: Path) -> None:
    """While it is down everybody is told at once, since when and why; when it is back, it is found by itself."""
    log = FakeLog()
    order = Own("volume 'v'", str(tmp_path))
    back = threading.Event()
    nas = NullServer()
    server = Server("127.0.0.1", nas.port, 2.0, log)
    server.when_back(back.set)
    server.ask(order, Space)
    assert "answers (since" in server.summary()
    nas.stop()
    server._heard = 0.0
    with pytest.raises(
        StorageFailed, match=r"127.0.0.1:\d+ does not answer \(since .*last error: Connection refused\)"
    ):
        server.ask(order, Space)
    begun = time.monotonic()
    with pytest.raises(StorageFailed, match="does not answer"):
        server.ask(order, Space)
    assert time.monotonic() - begun < 1
    assert server.force(Unmount(str(tmp_path / "nothing")), bool) is False
    nas = NullServer(nas.port)
    assert back.wait(30)
    server.ask(order, Space)
    nas.stop()
    assert log.events == ["NFS server does not answer", "NFS server answers again"]
    server.stop()
    await_true(lambda: server.children() == 0)


def test_a_server_that_nobody_wants_is_left_in_peace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name would be looked up for ever; who asks for it again finds out by asking."""
    monkeypatch.setattr(server_module, "WANTED_S", 0.0)
    nas = NullServer()
    nas.stop()
    server = Server("127.0.0.1", nas.port, 2.0, FakeLog())
    with pytest.raises(StorageFailed, match="does not answer"):
        server.ask(Own("volume 'v'", str(tmp_path)), Space)
    await_true(lambda: not server._is_watched)
    nas = NullServer(nas.port)
    server.ask(Own("volume 'v'", str(tmp_path)), Space)
    server.stop()
    nas.stop()
    await_true(lambda: server.children() == 0)


def test_a_server_that_nothing_is_on_any_more_is_forgotten(tmp_path: Path) -> None:
    """A misspelt one that was asked once does not trouble doctor and Prometheus when its volume is gone."""
    nas = NullServer()
    nas.stop()
    known = Servers(2.0, FakeLog())
    server = known.at("127.0.0.1", nas.port)
    with pytest.raises(StorageFailed, match="does not answer"):
        server.ask(Own("volume 'v'", str(tmp_path)), Space)
    known.retire([server])
    assert (known.asked(), known.answering()) == ([server], {("127.0.0.1", str(nas.port)): False})
    known.retire([])
    assert (known.asked(), known.answering()) == ([], {})
    await_true(lambda: server.children() == 0)


def test_two_servers_on_one_host_name_are_two(tmp_path: Path) -> None:
    """Each has its own metric and its own line in doctor: one that answers does not hide one that is dead."""
    dead, alive = NullServer(), NullServer()
    dead.stop()
    known = Servers(2.0, FakeLog())
    with pytest.raises(StorageFailed, match="does not answer"):
        known.at("127.0.0.1", dead.port).ask(Own("volume 'v'", str(tmp_path)), Space)
    known.at("127.0.0.1", alive.port).ask(Own("volume 'v'", str(tmp_path)), Space)
    assert known.answering() == {("127.0.0.1", str(dead.port)): False, ("127.0.0.1", str(alive.port)): True}
    assert len({server.condition().what for server in known.asked()}) == 2
    known.stop()
    alive.stop()
    await_true(lambda: not any(server.children() for server in known.asked()))


def test_a_server_that_could_not_be_asked_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many processes as there may be nothing is known of it; a server that is back is found all the same."""
    nas = NullServer()
    server = Server("127.0.0.1", nas.port, 0.1, FakeLog())
    order, tries = Own("volume 'v'", str(tmp_path)), []

    def refused(*_: object) -> None:
        tries.append(1)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as patch:
        patch.setattr(server._prober, "call", refused)
        with pytest.raises(StorageFailed, match=r"no process could be started that asks 127.0.0.1:\d+ .* try again"):
            server.ask(order, Space)
    nas.stop()
    with pytest.raises(StorageFailed, match="does not answer"):
        server.ask(order, Space)
    with monkeypatch.context() as patch:
        patch.setattr(server._prober, "call", refused)
        nas = NullServer(nas.port)
        await_true(lambda: len(tries) >= 3)
    await_true(lambda: not server.is_down())
    server.ask(order, Space)
    server.stop()
    nas.stop()
    await_true(lambda: server.children() == 0)


def test_what_a_child_could_not_do_is_told_as_if_it_had_been_done_here(tmp_path: Path) -> None:
    """The error names the volume and the next step, and the kernel's number goes with it."""
    nas = NullServer()
    server = Servers(5.0, FakeLog()).at("127.0.0.1", nas.port)
    with pytest.raises(StorageFailed, match=r"volume 'v': could not use what is mounted.*No such file") as raised:
        server.ask(Own("volume 'v'", str(tmp_path / "gone")), Space)
    assert isinstance(raised.value.__cause__, OSError)
    server.stop()
    nas.stop()
    await_true(lambda: server.children() == 0)


def test_the_breaker_tells_since_when() -> None:
    """The time is that of the change, not of the last look."""
    clock = FakeClock()
    breaker = Breaker("nas.lan", clock)
    assert breaker.summary() == "nas.lan has not been asked yet"
    assert breaker.failed("timed out")
    clock.forward(minutes=5)
    assert not breaker.failed("refused", "mend it")
    assert breaker.hint == "mend it"
    assert breaker.summary() == "nas.lan does not answer (since 12:00:00 UTC, last error: refused)"
    assert breaker.answered(0.0012)
    clock.forward(minutes=5)
    assert not breaker.answered(0.002)
    assert breaker.summary() == "nas.lan answers (since 12:05:00 UTC, last in 2.0 ms)"
