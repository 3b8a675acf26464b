"""Children that can be killed, and the breaker that says when not to ask: with real processes and a real server."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fakes import FakeClock, FakeJournal
from flocks import is_free, locked
from nullserver import NullServer
from pyvol.core.breaker import Breaker
from pyvol.core.errors import StorageFailed
from pyvol.core.model import Space
from pyvol.host.children import ChildLost, Children, Message
from pyvol.storage import servers
from pyvol.storage.orders import Own, Unmount
from pyvol.storage.servers import Server, Servers

STUB = """
import os, socket, subprocess, sys, time
from pyvol.host.children import LENGTH, Message, answer
def handle(message):
    request = message.content
    if request == b"hang":
        subprocess.Popen(["sleep", "300"])
        time.sleep(300)
    if request == b"end":
        os._exit(1)
    if request == b"half":
        line = socket.socket(fileno=os.dup(int(sys.argv[1])))
        socket.send_fds(line, [LENGTH.pack(9)], message.descriptors)
        os._exit(1)
    return Message(request + str(os.getpid()).encode(), message.descriptors)
answer(int(sys.argv[1]), handle)
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of a child that echoes, hangs and ends."""
    (tmp_path / "stub.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "stub"


def look() -> None:
    """See nothing."""


def wait_until(holds: object) -> None:
    """Poll until a function returns something true."""
    deadline = time.monotonic() + 30
    assert callable(holds)
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_child_whose_parent_is_gone_is_killed() -> None:
    """Also when its watching thread comes late: SIGKILL alone ends a process whose files are on a dead server."""
    script = (
        "import sys, time\nfrom pyvol.host import children\n"
        "children._end_with_parent = lambda _: time.sleep(300)\n"
        "children.answer(int(sys.argv[1]), lambda message: message)\n"
    )
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(theirs.fileno())], pass_fds=[theirs.fileno()], start_new_session=True
        )
    ours.close()
    assert child.wait(30) == -signal.SIGKILL


def end(children: Children) -> None:
    """End them all."""
    children.retire()
    wait_until(lambda: children.count() == 0)


def processes(group: int) -> list[int]:
    """The processes of a group that still run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(process.name))
    return found


def test_a_child_is_used_again(stub: str) -> None:
    """Starting an interpreter for each request would cost more than the request."""
    children = Children(stub, 2)
    assert children.call(Message(b"a"), 30, look) == children.call(Message(b"a"), 30, look)
    assert children.count() == 1
    end(children)


def test_a_child_that_hangs_is_killed_with_what_it_started(stub: str) -> None:
    """After the deadline nothing of it is left, and the next request gets another child."""
    children = Children(stub, 1)
    pid = int(children.call(Message(b""), 30, look).content)
    with pytest.raises(ChildLost, match="no answer in time"):
        children.call(Message(b"hang"), 1, look)
    wait_until(lambda: not processes(pid))
    assert int(children.call(Message(b""), 30, look).content) != pid
    end(children)


def test_a_child_that_ended_is_an_error_and_no_more(stub: str) -> None:
    """The kernel's killer took it, say."""
    children = Children(stub, 1)
    with pytest.raises(ChildLost, match="ended"):
        children.call(Message(b"end"), 30, look)
    assert children.call(Message(b"x"), 30, look)
    end(children)


def hang(children: Children) -> None:
    """Keep a child busy for a while."""
    with pytest.raises(ChildLost):
        children.call(Message(b"hang"), 3, look)


def test_there_are_never_more_than_so_many(stub: str, tmp_path: Path) -> None:
    """Who would be one too many waits, and is told when that was in vain; a lock that it brought ends all the same."""
    children = Children(stub, 1)
    hanging = threading.Thread(target=hang, args=(children,))
    hanging.start()
    wait_until(lambda: children._busy == 1)
    with pytest.raises(ChildLost, match="others wait"):
        children.call(Message(b"x", [locked(tmp_path / "lock")]), 0.2, look)
    assert children.count() == 1
    wait_until(lambda: is_free(tmp_path / "lock"))
    hanging.join()
    end(children)


@pytest.mark.parametrize("words", ["end", "half"])
def test_a_lock_on_its_way_to_a_child_that_ends_is_let_go_of(stub: str, tmp_path: Path, words: str) -> None:
    """Also one that has come back, of an answer that never came: nobody would know of it, and it would last."""
    children = Children(stub, 1)
    with pytest.raises(ChildLost, match="ended"):
        children.call(Message(words.encode(), [locked(tmp_path / "lock")]), 30, look)
    wait_until(lambda: is_free(tmp_path / "lock"))
    end(children)


def test_a_lock_for_a_child_that_does_not_start_is_let_go_of(tmp_path: Path) -> None:
    """An upgrade may take its program away while pyvol runs."""
    children = Children("pyvol.no_such_module", 1)
    with pytest.raises(ChildLost, match="ended"):
        children.call(Message(b"x", [locked(tmp_path / "lock")]), 30, look)
    wait_until(lambda: is_free(tmp_path / "lock"))
    end(children)


def test_a_lock_that_no_process_can_be_started_for_is_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory, say: a thread waits then for the last close."""
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    with pytest.raises(OSError, match="No such file"):
        Children("x", 1).call(Message(b"x", [locked(tmp_path / "lock")]), 30, look)
    wait_until(lambda: is_free(tmp_path / "lock"))


def test_who_waits_looks_around_and_may_give_up(stub: str) -> None:
    """So a dead server is noticed long before the deadline."""

    def give_up() -> None:
        raise StorageFailed("enough")

    children = Children(stub, 1)
    with pytest.raises(StorageFailed, match="enough"):
        children.call(Message(b"hang"), 300, give_up)
    wait_until(lambda: children.count() == 0)


def test_a_child_ends_with_its_parent_also_while_it_hangs(stub: str, tmp_path: Path) -> None:
    """Kill -9 of the daemon leaves no process behind."""
    script = (
        "import sys, threading, time\nfrom pyvol.host.children import Children, Message\n"
        f"c = Children({stub!r}, 2)\nprint(int(c.call(Message(b''), 30, lambda: None).content), flush=True)\n"
        "threading.Thread(target=lambda: c.call(Message(b'hang'), 300, lambda: None), daemon=True).start()\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: len(processes(pid)) == 2)
        parent.kill()
    wait_until(lambda: not processes(pid))


def test_a_server_that_goes_and_comes(tmp_path: Path) -> None:
    """While it is down everybody is told at once, since when and why; when it is back, it is found by itself."""
    journal = FakeJournal()
    order = Own("volume 'v'", str(tmp_path))
    back = threading.Event()
    nas = NullServer()
    server = Server("127.0.0.1", nas.port, 2.0, journal)
    server.when_back(back.set)
    server.ask(order, Space)
    assert "answers (since" in server.says()
    nas.stop()
    server._heard = 0.0
    with pytest.raises(StorageFailed, match=r"127.0.0.1 does not answer \(since .*last error: Connection refused\)"):
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
    assert journal.events == ["NFS server does not answer", "NFS server answers again"]
    server.stop()
    wait_until(lambda: server.children() == 0)


def test_a_server_that_nobody_wants_is_left_in_peace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name would be looked up for ever; who asks for it again finds out by asking."""
    monkeypatch.setattr(servers, "WANTED_S", 0.0)
    nas = NullServer()
    nas.stop()
    server = Server("127.0.0.1", nas.port, 2.0, FakeJournal())
    with pytest.raises(StorageFailed, match="does not answer"):
        server.ask(Own("volume 'v'", str(tmp_path)), Space)
    wait_until(lambda: not server._is_watched)
    nas = NullServer(nas.port)
    server.ask(Own("volume 'v'", str(tmp_path)), Space)
    server.stop()
    nas.stop()
    wait_until(lambda: server.children() == 0)


def test_a_server_that_nothing_is_on_any_more_is_forgotten(tmp_path: Path) -> None:
    """A misspelt one that was asked once does not trouble doctor and Prometheus when its volume is gone."""
    nas = NullServer()
    nas.stop()
    known = Servers(2.0, FakeJournal())
    server = known.at("127.0.0.1", nas.port)
    with pytest.raises(StorageFailed, match="does not answer"):
        server.ask(Own("volume 'v'", str(tmp_path)), Space)
    known.retire([server])
    assert (known.asked(), known.answering()) == ([server], {"127.0.0.1": False})
    known.retire([])
    assert (known.asked(), known.answering()) == ([], {})
    wait_until(lambda: server.children() == 0)


def test_a_server_that_could_not_be_asked_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many processes as there may be nothing is known of it; a server that is back is found all the same."""
    nas = NullServer()
    server = Server("127.0.0.1", nas.port, 0.1, FakeJournal())
    order, tries = Own("volume 'v'", str(tmp_path)), []

    def refused(*_: object) -> None:
        tries.append(1)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as patch:
        patch.setattr(server._prober, "call", refused)
        with pytest.raises(StorageFailed, match=r"no process could be started that asks 127.0.0.1 .* try again"):
            server.ask(order, Space)
    nas.stop()
    with pytest.raises(StorageFailed, match="does not answer"):
        server.ask(order, Space)
    with monkeypatch.context() as patch:
        patch.setattr(server._prober, "call", refused)
        nas = NullServer(nas.port)
        wait_until(lambda: len(tries) >= 3)
    wait_until(lambda: not server.is_down())
    server.ask(order, Space)
    server.stop()
    nas.stop()
    wait_until(lambda: server.children() == 0)


def test_what_a_child_could_not_do_is_told_as_if_it_had_been_done_here(tmp_path: Path) -> None:
    """The error names the volume and the next step, and the kernel's number goes with it."""
    nas = NullServer()
    server = Servers(5.0, FakeJournal()).at("127.0.0.1", nas.port)
    with pytest.raises(StorageFailed, match=r"volume 'v': could not use what is mounted.*No such file") as raised:
        server.ask(Own("volume 'v'", str(tmp_path / "gone")), Space)
    assert isinstance(raised.value.__cause__, OSError)
    server.stop()
    nas.stop()
    wait_until(lambda: server.children() == 0)


def test_the_breaker_tells_since_when() -> None:
    """The time is that of the change, not of the last look."""
    clock = FakeClock()
    breaker = Breaker("nas.lan", clock)
    assert breaker.says() == "nas.lan has not been asked yet"
    assert breaker.failed("timed out")
    clock.forward(minutes=5)
    assert not breaker.failed("refused", "mend it")
    assert breaker.mend == "mend it"
    assert breaker.says() == "nas.lan does not answer (since 12:00:00 UTC, last error: refused)"
    assert breaker.answered(0.0012)
    clock.forward(minutes=5)
    assert not breaker.answered(0.002)
    assert breaker.says() == "nas.lan answers (since 12:05:00 UTC, last in 2.0 ms)"
