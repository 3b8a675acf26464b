"""Child processes that do what may hang, and are killed when it does.

A touch of a remote file system can wait in the kernel for as long as its server is dead. Only SIGKILL ends that; so it
is done in a process of its own, which answers over a socket pair and is used again as long as it answers. Children are
made from a clean interpreter: a fork of a process with threads could deadlock.
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
"""How long a child may take to start: on a busy machine an interpreter takes seconds, and no server is to blame."""
LOOK_S = 1.0
"""How often who waits for a child looks around."""
CLOSE = """\
import os, signal, sys
signal.alarm(1)
for file in sys.argv[1:]:
    os.close(int(file))
"""
"""A signal that ends a process ends its waiting as well; the kernel then tells the server when that is back."""


class Message(NamedTuple):
    """What goes between parent and child: bytes, and open files, which then are both's."""

    content: bytes
    descriptors: Sequence[int] = ()


class ChildLost(Exception):
    """A child did not answer in time, or ended; it has been killed."""


class Child:
    """One such process."""

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
        """Send a request and return its answer; raises `ChildLost`, or what `look` raises, which is called at times.

        Files that go with a request are closed here when it is sent: so the last close, which may hang, is the child's.
        """
        files = list(request.descriptors)  # what is closed elsewhere when this fails
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
                raise ChildLost("no answer in time" if isinstance(error, TimeoutError) else "the child ended") from None
            raise

    def kill(self) -> None:
        """End it and all that it started, with a signal that the kernel's NFS client heeds too."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._line.close()

    def is_gone(self) -> bool:
        """Tell whether it has ended, and reap it."""
        return self._process.poll() is not None

    def _receive(self, size: int, deadline: float, look: Callable[[], None], files: list[int]) -> bytes:
        """Return so many bytes; the files that come with them are added to those there are."""
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
                raise ChildLost("pyvol has as many files open as it may: raise its limit")
            if not data:
                raise EOFError
            received += data
        return bytes(received)


class Children:
    """A few children that take any request; made when they are needed, ended when they have been idle.

    Args:
        module: what they run, see `answer`.
        most: how many there are at a time, dying ones included.
    """

    def __init__(self, module: str, most: int) -> None:
        self._module = module
        self._most = most
        self._turn = threading.Condition()
        self._idle: list[Child] = []
        self._dying: list[Child] = []
        self._busy = 0

    def call(self, request: Message, patience_s: float, look: Callable[[], None]) -> Message:
        """Return a child's answer; raises `ChildLost`, or what `look` raises. A child that did not answer is killed.

        Files that go with a request are closed whether a child gets them or not: with the last one open, a lock would
        stay on its server.
        """
        try:
            child = self._take(time.monotonic() + patience_s, look)
        except BaseException:
            close_elsewhere(request.descriptors)
            raise
        try:
            answer = child.call(request, patience_s, look)
        except BaseException:
            child.kill()
            with self._turn:
                self._dying.append(child)
                self._busy -= 1
                self._turn.notify()
            raise
        with self._turn:
            child.idle_since = time.monotonic()
            self._idle.append(child)
            self._busy -= 1
            self._turn.notify()
        return answer

    def retire(self, idle_s: float = 0.0) -> None:
        """End those that have been idle for so long."""
        with self._turn:
            over = [child for child in self._idle if time.monotonic() - child.idle_since >= idle_s]
            self._idle = [child for child in self._idle if child not in over]
            for child in over:
                child.kill()
            self._dying += over
            self._reap()

    def count(self) -> int:
        """Return how many there are."""
        with self._turn:
            self._reap()
            return self._busy + len(self._idle) + len(self._dying)

    def _take(self, deadline: float, look: Callable[[], None]) -> Child:
        while True:
            with self._turn:
                if self._idle:
                    self._busy += 1
                    return self._idle.pop()
                if self._busy + self._reap() < self._most:
                    self._busy += 1
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ChildLost("others wait for it already")
                if self._turn.wait(min(left, LOOK_S)):
                    continue
            look()
        try:
            return Child(self._module)
        except BaseException:
            with self._turn:
                self._busy -= 1
                self._turn.notify()
            raise

    def _reap(self) -> int:
        self._dying = [child for child in self._dying if not child.is_gone()]
        return len(self._dying)


def answer(descriptor: int, handle: Callable[[Message], Message]) -> None:
    """Answer requests until the parent is gone; what a child runs. Files that go with an answer are closed here."""
    line = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with_parent, args=(descriptor,), daemon=True).start()
    try:
        _answer(line, handle)
    except ConnectionError:
        pass  # the parent is gone
    except Exception:  # noqa: BLE001  # nobody is told of it otherwise, for this process does not end as others do
        traceback.print_exc()
    finally:
        # An interpreter that ends closes its files, also those that nobody has received yet; that waits for a dead
        # server for as long as it takes, unless the kernel is told to let go of it.
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
    """Have files closed that may be the last of a lock on a dead server; waits for nothing."""
    if files:
        threading.Thread(target=_close_elsewhere, args=(tuple(files),), name="close", daemon=True).start()


def _close_elsewhere(files: Sequence[int]) -> None:
    process = None
    with suppress(OSError):  # with no process to be had this thread waits for the server, and nobody for the thread
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


def _end_with_parent(descriptor: int) -> None:
    """Kill this process, and what it started, when the other end is closed: also while a request hangs."""
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    poll.poll()
    _end()


def _end() -> None:
    """Kill this process and what it started."""
    os.killpg(0, signal.SIGKILL)
