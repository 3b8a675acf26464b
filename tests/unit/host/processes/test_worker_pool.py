"""Children that can be killed: with real processes."""

import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from deadline import await_true
from flocks import is_free, locked
from pyvol.core.errors import StorageFailed
from pyvol.host.processes.worker_pool import ChildLost, Children, Message

STUB = """
import os, socket, subprocess, sys, time
from pyvol.host.processes.worker_pool import LENGTH, Message, answer
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


def test_a_child_whose_parent_is_gone_is_killed() -> None:
    """Also when its watching thread comes late: SIGKILL alone ends a process whose files are on a dead server."""
    script = (
        "import sys, time\nfrom pyvol.host.processes import worker_pool\n"
        "worker_pool._end_with_parent = lambda _: time.sleep(300)\n"
        "worker_pool.answer(int(sys.argv[1]), lambda message: message)\n"
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
    await_true(lambda: children.count() == 0)


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
    await_true(lambda: not processes(pid))
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


@pytest.mark.one_python
def test_there_are_never_more_than_so_many(stub: str, tmp_path: Path) -> None:
    """Who would be one too many waits, and is told when that was in vain; a lock that it brought ends all the same."""
    children = Children(stub, 1)
    hanging = threading.Thread(target=hang, args=(children,))
    hanging.start()
    await_true(lambda: children._busy == 1)
    with pytest.raises(ChildLost, match="others wait"):
        children.call(Message(b"x", [locked(tmp_path / "lock")]), 0.2, look)
    assert children.count() == 1
    await_true(lambda: is_free(tmp_path / "lock"))
    hanging.join()
    end(children)


@pytest.mark.parametrize("words", ["end", "half"])
def test_a_lock_on_its_way_to_a_child_that_ends_is_let_go_of(stub: str, tmp_path: Path, words: str) -> None:
    """Also one that has come back, of an answer that never came: nobody would know of it, and it would last."""
    children = Children(stub, 1)
    with pytest.raises(ChildLost, match="ended"):
        children.call(Message(words.encode(), [locked(tmp_path / "lock")]), 30, look)
    await_true(lambda: is_free(tmp_path / "lock"))
    end(children)


def test_a_lock_for_a_child_that_does_not_start_is_let_go_of(tmp_path: Path) -> None:
    """An upgrade may take its program away while pyvol runs."""
    children = Children("pyvol.no_such_module", 1)
    with pytest.raises(ChildLost, match="ended"):
        children.call(Message(b"x", [locked(tmp_path / "lock")]), 30, look)
    await_true(lambda: is_free(tmp_path / "lock"))
    end(children)


def test_a_lock_that_no_process_can_be_started_for_is_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory, say: a thread waits then for the last close."""
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    with pytest.raises(OSError, match="No such file"):
        Children("x", 1).call(Message(b"x", [locked(tmp_path / "lock")]), 30, look)
    await_true(lambda: is_free(tmp_path / "lock"))


def test_who_waits_looks_around_and_may_give_up(stub: str) -> None:
    """So a dead server is noticed long before the deadline."""

    def give_up() -> None:
        raise StorageFailed("enough")

    children = Children(stub, 1)
    with pytest.raises(StorageFailed, match="enough"):
        children.call(Message(b"hang"), 300, give_up)
    await_true(lambda: children.count() == 0)


def test_a_child_ends_with_its_parent_also_while_it_hangs(stub: str, tmp_path: Path) -> None:
    """Kill -9 of the daemon leaves no process behind."""
    script = (
        "import sys, threading, time\nfrom pyvol.host.processes.worker_pool import Children, Message\n"
        f"c = Children({stub!r}, 2)\nprint(int(c.call(Message(b''), 30, lambda: None).content), flush=True)\n"
        "threading.Thread(target=lambda: c.call(Message(b'hang'), 300, lambda: None), daemon=True).start()\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        await_true(lambda: len(processes(pid)) == 2)
        parent.kill()
    await_true(lambda: not processes(pid))
