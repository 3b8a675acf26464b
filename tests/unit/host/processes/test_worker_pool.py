"""Workers that can be killed: with real processes."""

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
from pyvol.host.processes import worker_pool
from pyvol.host.processes.fds import close
from pyvol.host.processes.worker_pool import LENGTH, READY, Message, WorkerLost, WorkerPool

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
    """The module of a worker that echoes, hangs and ends."""
    (tmp_path / "stub.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "stub"


def look() -> None:
    """Do nothing."""


def test_a_worker_whose_parent_is_gone_is_killed() -> None:
    """Also if its watching thread is late: SIGKILL alone ends a process whose files are on a dead server."""
    script = (
        "import sys, time\nfrom pyvol.host.processes import worker_pool\n"
        "worker_pool.answer(int(sys.argv[1]), lambda message: message, watch=lambda _: time.sleep(300))\n"
    )
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(theirs.fileno())], pass_fds=[theirs.fileno()], start_new_session=True
        )
    ours.close()
    assert child.wait(30) == -signal.SIGKILL


def test_a_worker_answers_until_its_parent_hangs_up(tmp_path: Path) -> None:
    """Each answer has the length, the content and the files, which the worker closes once they are sent."""
    ours, theirs = socket.socketpair()
    file = locked(tmp_path / "lock")

    def handle(message: Message) -> Message:
        return Message(message.content * 2, [file] if message.content == b"file" else ())

    thread = threading.Thread(target=worker_pool._answer, args=(theirs, handle), daemon=True)
    thread.start()
    with ours, theirs:
        assert ours.recv(len(READY), socket.MSG_WAITALL) == READY
        for content in (b"a", b"file"):
            ours.sendall(LENGTH.pack(len(content)) + content)
            head, files, _, _ = socket.recv_fds(ours, LENGTH.size, 2)
            (length,) = LENGTH.unpack(head)
            assert ours.recv(length, socket.MSG_WAITALL) == content * 2
            assert len(files) == (content == b"file")
        ours.shutdown(socket.SHUT_WR)
        thread.join(30)
        assert not thread.is_alive()
    assert not is_free(tmp_path / "lock")
    close(files)
    assert is_free(tmp_path / "lock")  # no other descriptor has it open


def end(pool: WorkerPool) -> None:
    """End all workers."""
    pool.retire()
    await_true(lambda: pool.count() == 0)


def processes(group: int) -> list[int]:
    """Return the processes of a group that still run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(process.name))
    return found


def test_a_worker_is_used_again(stub: str) -> None:
    """Starting an interpreter for each request would cost more than the request."""
    pool = WorkerPool(stub, 2)
    assert pool.call(Message(b"a"), 30, look) == pool.call(Message(b"a"), 30, look)
    assert pool.count() == 1
    assert pool.calls == 2
    end(pool)


def test_a_worker_that_hangs_is_killed_with_what_it_started(stub: str) -> None:
    """After the deadline no process of it is left, and the next request gets another worker."""
    pool = WorkerPool(stub, 1)
    pid = int(pool.call(Message(b""), 30, look).content)
    with pytest.raises(WorkerLost, match="no answer in time"):
        pool.call(Message(b"hang"), 1, look)
    await_true(lambda: not processes(pid))
    assert int(pool.call(Message(b""), 30, look).content) != pid
    end(pool)


def test_a_worker_that_ended_is_an_error_and_no_more(stub: str) -> None:
    """For example the kernel killed it, out of memory. The next request gets another worker."""
    pool = WorkerPool(stub, 1)
    with pytest.raises(WorkerLost, match="ended"):
        pool.call(Message(b"end"), 30, look)
    assert pool.call(Message(b"x"), 30, look)
    end(pool)


def hang(pool: WorkerPool) -> None:
    """Keep a worker busy for a while."""
    with pytest.raises(WorkerLost):
        pool.call(Message(b"hang"), 3, look)


@pytest.mark.one_python
def test_there_are_never_more_workers_than_allowed(stub: str, tmp_path: Path) -> None:
    """A request too many waits, and fails if that was in vain; a lock that it brought ends all the same."""
    pool = WorkerPool(stub, 1)
    hanging = threading.Thread(target=hang, args=(pool,))
    hanging.start()
    await_true(lambda: pool._busy == 1)
    with pytest.raises(WorkerLost, match="other requests wait"):
        pool.call(Message(b"x", [locked(tmp_path / "lock")]), 0.2, look)
    assert pool.count() == 1
    await_true(lambda: is_free(tmp_path / "lock"))
    hanging.join()
    end(pool)


@pytest.mark.parametrize("words", ["end", "half"])
def test_a_lock_on_its_way_to_a_worker_that_ends_is_released(stub: str, tmp_path: Path, words: str) -> None:
    """A lock that came with the start of an answer is closed too: otherwise it would stay held."""
    pool = WorkerPool(stub, 1)
    with pytest.raises(WorkerLost, match="ended"):
        pool.call(Message(words.encode(), [locked(tmp_path / "lock")]), 30, look)
    await_true(lambda: is_free(tmp_path / "lock"))
    end(pool)


def test_a_lock_for_a_worker_that_does_not_start_is_released(tmp_path: Path) -> None:
    """An upgrade may delete its program while pyvol runs."""
    pool = WorkerPool("pyvol.no_such_module", 1)
    with pytest.raises(WorkerLost, match="ended"):
        pool.call(Message(b"x", [locked(tmp_path / "lock")]), 30, look)
    await_true(lambda: is_free(tmp_path / "lock"))
    end(pool)


def test_a_lock_that_no_process_can_be_started_for_is_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example out of memory: then a thread waits for the last close."""
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    with pytest.raises(OSError, match="No such file"):
        WorkerPool("x", 1).call(Message(b"x", [locked(tmp_path / "lock")]), 30, look)
    await_true(lambda: is_free(tmp_path / "lock"))


def test_a_caller_that_waits_may_give_up(stub: str) -> None:
    """`look` is called while it waits, so a dead server is noticed long before the deadline."""

    def give_up() -> None:
        raise StorageFailed("enough")

    pool = WorkerPool(stub, 1)
    with pytest.raises(StorageFailed, match="enough"):
        pool.call(Message(b"hang"), 300, give_up)
    await_true(lambda: pool.count() == 0)


def test_a_worker_ends_with_its_parent_also_while_it_hangs(stub: str, tmp_path: Path) -> None:
    """Kill -9 of the daemon leaves no process."""
    script = (
        "import sys, threading, time\nfrom pyvol.host.processes.worker_pool import WorkerPool, Message\n"
        f"c = WorkerPool({stub!r}, 2)\nprint(int(c.call(Message(b''), 30, lambda: None).content), flush=True)\n"
        "threading.Thread(target=lambda: c.call(Message(b'hang'), 300, lambda: None), daemon=True).start()\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        await_true(lambda: len(processes(pid)) == 2)
        parent.kill()
    await_true(lambda: not processes(pid))
