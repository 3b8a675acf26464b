"""Worker processes, which do what may hang and are killed if it does.

A call on a remote file system can wait in the kernel for as long as its server is dead. Only SIGKILL ends
that wait. So the call is made in a separate process, which answers over a socket pair and is used again as
long as it answers. Workers start from a clean interpreter: a fork of a process with threads could deadlock.
"""

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from pyvol.host.processes.fds import close

LENGTH = struct.Struct("!I")
PACKAGES = str(Path(__file__).resolve().parents[3])
MOST_DESCRIPTORS = 2
READY = b"ready"
START_S = 15.0
"""How long a worker may take to start: on a busy machine an interpreter takes seconds."""
LOOK_S = 1.0
"""How often a caller that waits for a worker calls its `look`."""
CLOSE = """\
import os, signal, sys
signal.alarm(1)
for file in sys.argv[1:]:
    os.close(int(file))
"""
"""A signal that ends a process also ends its wait; the kernel informs the server when that is back."""


class Message(NamedTuple):
    """What the daemon and a worker send each other: bytes, and open files, which then both have open."""

    content: bytes
    descriptors: Sequence[int] = ()


class WorkerLost(Exception):
    """A worker did not answer in time, or ended. It has been killed."""


class Worker:
    """One worker process."""

    def __init__(self, module: str) -> None:
        self._line, theirs = socket.socketpair()
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [PACKAGES, os.environ.get("PYTHONPATH", "")]))
        with theirs, ExitStack() as failed:
            failed.callback(self._line.close)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
                start_new_session=True,  # it is killed with all that it has started, mount.nfs above all
            )
            failed.pop_all()
        self._poll = select.poll()
        self._poll.register(self._line, select.POLLIN)
        self._is_ready = False
        self.idle_since = 0.0

    def call(self, request: Message, patience_s: float, look: Callable[[], None]) -> Message:
        """Send a request and return its answer. Raise `WorkerLost`, or what `look`, called at times, raises.

        Files that go with a request are closed here once it is sent. So the last close, which may hang, is a
        worker's.
        """
        files = list(request.descriptors)  # a separate process closes these if this fails
        try:
            if not self._is_ready:
                self._receive(len(READY), time.monotonic() + START_S, look, files)
                self._is_ready = True
            deadline = time.monotonic() + patience_s
            self._line.settimeout(patience_s)
            _send(self._line, request)
            close(files)
            files.clear()
            (length,) = LENGTH.unpack(self._receive(LENGTH.size, deadline, look, files))
            return Message(self._receive(length, deadline, look, files), files)
        except BaseException as error:
            close_elsewhere(files)
            if isinstance(error, OSError | EOFError):
                reason = "no answer in time" if isinstance(error, TimeoutError) else "the worker ended"
                raise WorkerLost(reason) from None
            raise

    def kill(self) -> None:
        """End the worker and the processes that it started; the signal ends waits of the NFS client too."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._line.close()

    def is_gone(self) -> bool:
        """Return whether the worker has ended, and reap it."""
        return self._process.poll() is not None

    def _receive(self, size: int, deadline: float, look: Callable[[], None], files: list[int]) -> bytes:
        """Return `size` bytes, and append the files that come with them."""
        received = bytearray()
        while len(received) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if not self._poll.poll(1000 * min(left, LOOK_S)):
                look()
                continue
            data, passed, flags, _ = socket.recv_fds(self._line, min(size - len(received), 1 << 20), MOST_DESCRIPTORS)
            files += passed
            if flags & socket.MSG_CTRUNC:
                raise WorkerLost("pyvol has as many files open as it may: raise its limit")
            if not data:
                raise EOFError
            received += data
        return bytes(received)


class WorkerPool:
    """A few workers that take any request. They start when they are needed, and end when they have been idle.

    Args:
        module: what they run, see `answer`.
        most: how many exist at a time, dying ones included.

    Attributes:
        calls: how many requests the workers have got.
    """

    def __init__(self, module: str, most: int) -> None:
        self._module = module
        self._most = most
        self._turn = threading.Condition()
        self._idle: list[Worker] = []
        self._dying: list[Worker] = []
        self._busy = 0
        self.calls = 0

    def call(self, request: Message, patience_s: float, look: Callable[[], None]) -> Message:
        """Return a worker's answer. Raise `WorkerLost`, or what `look` raises.

        A worker that did not answer is killed.

        Files that go with a request are closed whether a worker gets them or not: as long as one is open, its
        lock stays on the server.
        """
        try:
            worker = self._take(time.monotonic() + patience_s, look)
        except BaseException:
            close_elsewhere(request.descriptors)
            raise
        try:
            answer = worker.call(request, patience_s, look)
        except BaseException:
            worker.kill()
            with self._turn:
                self._dying.append(worker)
                self._busy -= 1
                self._turn.notify()
            raise
        with self._turn:
            worker.idle_since = time.monotonic()
            self._idle.append(worker)
            self._busy -= 1
            self._turn.notify()
        return answer

    def retire(self, idle_s: float = 0.0) -> None:
        """End the workers that have been idle for so long."""
        with self._turn:
            over = [worker for worker in self._idle if time.monotonic() - worker.idle_since >= idle_s]
            self._idle = [worker for worker in self._idle if worker not in over]
            for worker in over:
                worker.kill()
            self._dying += over
            self._reap()

    def count(self) -> int:
        """Return how many workers exist."""
        with self._turn:
            self._reap()
            return self._busy + len(self._idle) + len(self._dying)

    def _take(self, deadline: float, look: Callable[[], None]) -> Worker:
        while True:
            with self._turn:
                is_idle = bool(self._idle)
                if is_idle or self._busy + self._reap() < self._most:
                    self._busy += 1
                    self.calls += 1
                    if is_idle:
                        return self._idle.pop()
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    raise WorkerLost("other requests wait for it already")
                if self._turn.wait(min(left, LOOK_S)):
                    continue
            look()
        try:
            return Worker(self._module)
        except BaseException:
            with self._turn:
                self._busy -= 1
                self._turn.notify()
            raise

    def _reap(self) -> int:
        self._dying = [worker for worker in self._dying if not worker.is_gone()]
        return len(self._dying)


def end_with_parent(descriptor: int) -> None:
    """Kill this process, and what it started, when the other end is closed, also while a request hangs."""
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    poll.poll()
    _end()


def answer(
    descriptor: int, handle: Callable[[Message], Message], watch: Callable[[int], None] = end_with_parent
) -> None:
    """Answer requests until the parent is gone. A worker runs this.

    Files that go with an answer are closed here.

    Args:
        descriptor: the worker's end of the connection.
        handle: carries out a request.
        watch: ends the process with its parent; runs in a thread.
    """
    line = socket.socket(fileno=descriptor)
    threading.Thread(target=watch, args=(descriptor,), daemon=True).start()
    try:
        _answer(line, handle)
    except ConnectionError:
        pass  # the parent is gone
    except Exception:  # noqa: BLE001  # this process ends in a way that shows no traceback by itself
        traceback.print_exc()
    finally:
        # An interpreter that ends closes its files, also those that nobody has received yet. With a dead
        # server that close waits for as long as the server is dead, unless a signal ends the wait.
        _end()


def _answer(line: socket.socket, handle: Callable[[Message], Message]) -> None:
    line.sendall(READY)
    while True:
        head, descriptors, _, _ = socket.recv_fds(line, LENGTH.size, MOST_DESCRIPTORS, socket.MSG_WAITALL)
        if len(head) < LENGTH.size:
            return
        (length,) = LENGTH.unpack(head)
        reply = handle(Message(line.recv(length, socket.MSG_WAITALL), descriptors))
        _send(line, reply)
        close(reply.descriptors)


def close_elsewhere(files: Sequence[int]) -> None:
    """Close files in another process: each may be the last of a lock on a dead server. Does not wait."""
    if files:
        threading.Thread(target=_close_elsewhere, args=(tuple(files),), name="close", daemon=True).start()


def _close_elsewhere(files: Sequence[int]) -> None:
    process = None
    with suppress(OSError):  # if none can be started, this thread waits for the server
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", CLOSE, *map(str, files)], stdin=subprocess.DEVNULL, pass_fds=files
        )
    close(files)
    if process is not None:
        process.wait()


def _send(line: socket.socket, message: Message) -> None:
    head = LENGTH.pack(len(message.content))
    if message.descriptors:
        socket.send_fds(line, [head], message.descriptors)
        line.sendall(message.content)
    else:
        line.sendall(head + message.content)


def _end() -> None:
    """Kill this process and what it started."""
    os.killpg(0, signal.SIGKILL)
