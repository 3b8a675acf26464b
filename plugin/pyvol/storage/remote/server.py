"""The NFS servers that are known: each with its children, and a breaker that says when not to ask."""

import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from pyvol.core import errors
from pyvol.core.concurrency.circuit_breaker import BACK, Breaker
from pyvol.core.model.mount_spec import NFS_PORT
from pyvol.core.ports.host import Log
from pyvol.core.ports.pool import Condition
from pyvol.host.processes.worker_pool import ChildLost, Children, Message
from pyvol.storage.remote.messages import Failure, Order, Probe, Reply

T = TypeVar("T")

MODULE = "pyvol.storage.nfs.worker"
WORKERS = 4
"""How many requests a server gets at a time; with one that hangs that many children wait, and no more."""
FRESH_S = 2.0
"""A server that has answered so lately is not asked first whether it does."""
FORCE_S = 1.0
WANTED_S = 600.0
"""How long a server that is down is asked whether it is back, after the last request that needed it."""
IDLE_S = 60.0
PATIENCE_S = 50.0
"""How long an order may take while its server answers; below Docker's shortest deadline, 60 s (engine fact 14)."""
UNKNOWN = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
NAME_IT = "correct the server's name, or see that this host can look it up"

_encode = msgspec.msgpack.Encoder().encode
_replies = msgspec.msgpack.Decoder(Reply)


class Server:
    """One server, by its host and port.

    Args:
        host: its name or address.
        port: its TCP port; None when it can't be probed.
        timeout_s: how long who waits for a dead server waits at most.
        log: where it is written down when it goes and comes.
    """

    def __init__(self, host: str, port: int | None, timeout_s: float, log: Log) -> None:
        self.host = host
        self._port = port
        self._name = host if port in {None, NFS_PORT} else f"{host}:{port}"
        self._timeout_s = timeout_s
        self._log = log
        self._workers = Children(MODULE, WORKERS)
        self._prober = Children(MODULE, 1)
        self._breaker = Breaker(self._name, lambda: datetime.now(UTC))
        self._probing = threading.Lock()
        self._heard = self._wanted = 0.0
        self._is_watched = False
        self._stopped = threading.Event()
        self._when_back: list[Callable[[], None]] = []

    @property
    def port(self) -> str:
        """Return the server's port; an empty string if its export's options do not allow to probe one."""
        return str(self._port or "")

    def is_down(self) -> bool:
        """Tell whether it is known not to answer."""
        return self._breaker.is_open

    def was_asked(self) -> bool:
        """Tell whether anybody has asked it for anything."""
        return self._breaker.asked is not None

    def summary(self) -> str:
        """Return what is known of it, in a few words; asks nobody."""
        return self._breaker.summary()

    def condition(self, what: str = "") -> Condition:
        """Return what is known of the server, for people, under a name of the caller's choice. Does no I/O."""
        what = what or f"server {self._name}"
        return Condition(what, self.summary(), not self.is_down(), self._breaker.hint)

    def when_back(self, call: Callable[[], None]) -> None:
        """Have something called each time when it answers again."""
        self._when_back.append(call)

    def ask(self, order: Order, gives: type[T], patience_s: float = PATIENCE_S, files: Sequence[int] = ()) -> T:
        """Return what a child answers. The files, duplicates, are the child's then, and closed here.

        Raises:
            StorageFailed: the server does not answer, or not in time; or whatever the order's failure is.
        """
        try:
            self._look(FRESH_S)
        except errors.StorageFailed:
            for file in files:  # others are open still of what they are, so that this does not wait for the server
                os.close(file)
            raise
        return self._answer(order, files, gives, patience_s, lambda: self._look(1.0))[0]

    def ask_for_files(self, order: Order, patience_s: float = PATIENCE_S) -> Sequence[int]:
        """Return the open files that come with a child's answer; raises as `ask` does."""
        self._look(FRESH_S)
        return self._answer(order, (), type(None), patience_s, lambda: self._look(1.0))[1]

    def force(self, order: Order, gives: type[T], files: Sequence[int] = ()) -> T:
        """Return what a child answers, whether the server is up or not: for what the kernel does without it.

        The files are the child's then, and closed here. Raises `StorageFailed` also when that takes too long.
        """
        return self._answer(order, files, gives, FORCE_S if self.is_down() else self._timeout_s, _do_nothing)[0]

    def _answer(
        self, order: Order, files: Sequence[int], gives: type[T], patience_s: float, look: Callable[[], None]
    ) -> tuple[T, Sequence[int]]:
        if self._port is None:
            patience_s = min(patience_s, self._timeout_s)
        begun = time.monotonic()
        try:
            answer = self._workers.call(Message(_encode(order), files), patience_s, look)
        except ChildLost as error:
            if self._port is None:
                self._failed(str(error))
                raise self._down() from None
            if self.is_down():
                raise self._down() from None
            raise errors.StorageFailed(
                f"{self._name} answers, and has not done what it was asked within {patience_s:.0f} s ({error}): "
                "see the server's own log, and try again"
            ) from None
        except OSError as error:
            raise self._unasked(error) from error
        if self._port is None:
            self._answered(time.monotonic() - begun)
        reply = _replies.decode(answer.content)
        if reply.failure is not None:
            raise _raised(reply.failure)
        return msgspec.msgpack.decode(reply.value, type=gives), answer.descriptors

    def retire(self) -> None:
        """End children that nobody has needed lately."""
        self._workers.retire(IDLE_S)
        self._prober.retire(IDLE_S)

    def stop(self) -> None:
        """End all children that are idle; the others end with this process."""
        self._stopped.set()
        self._workers.retire()
        self._prober.retire()

    def children(self) -> int:
        """Return how many children there are."""
        return self._workers.count() + self._prober.count()

    def _look(self, fresh_s: float) -> None:
        """See that the server answers; raises `StorageFailed` when it doesn't."""
        self._wanted = time.monotonic()
        if self.is_down():
            if self._is_watched:
                raise self._down()
        elif self._port is None or time.monotonic() - self._heard < fresh_s:
            return
        with self._probing:
            # Another may have asked meanwhile; who waited for it takes what it learned.
            if not self._is_watched and time.monotonic() - self._heard >= fresh_s:
                self._probe()
        if self.is_down():
            raise self._down()

    def _probe(self) -> None:
        """Find out whether it answers; raises `StorageFailed` where that can't even be asked."""
        timeout_s = self._timeout_s * 0.4  # who has waited a second for an answer waits for this too
        assert self._port is not None  # noqa: S101  # nobody probes without
        order = Probe(self.host, self._port, timeout_s)
        try:
            reply = _replies.decode(self._prober.call(Message(_encode(order)), timeout_s + 0.5, _do_nothing).content)
        except ChildLost:
            self._failed("no answer, not even to whether its name is known")
            return
        except OSError as error:
            raise self._unasked(error) from error
        if reply.failure is not None:
            is_unknown = reply.failure.code in UNKNOWN
            self._failed(reply.failure.summary, NAME_IT if is_unknown else BACK)
        else:
            self._answered(msgspec.msgpack.decode(reply.value, type=float))

    def _answered(self, latency_s: float) -> None:
        self._heard = time.monotonic()
        if self._breaker.answered(latency_s):
            self._log.info("NFS server answers again", server=self._name)
            for call in self._when_back:
                call()

    def _failed(self, error: str, hint: str = BACK) -> None:
        if self._breaker.failed(error, hint):
            self._log.warning("NFS server does not answer", server=self._name, error=error)
        if not self._is_watched:
            self._is_watched = True
            threading.Thread(target=self._watch, name=f"watch {self.host}", daemon=True).start()

    def _watch(self) -> None:
        """Ask at intervals until the server answers, or nobody wants it any more; nobody else asks meanwhile."""
        while self.is_down() and time.monotonic() - self._wanted < WANTED_S:
            if self._stopped.wait(self._timeout_s * 0.4):
                break
            if self._port is None:
                self._answered(0.0)  # the next who asks finds out
            else:
                with self._probing, suppress(errors.StorageFailed):  # with no process to be had the next round asks
                    self._probe()
        self._is_watched = False

    def _unasked(self, error: OSError) -> errors.StorageFailed:
        return errors.StorageFailed(
            f"no process could be started that asks {self._name} ({error}): raise pyvol's limits, and try again"
        )

    def _down(self) -> errors.StorageFailed:
        return errors.StorageFailed(f"{self._breaker.summary()}: {self._breaker.hint}")


class Servers:
    """All servers of this host, by host and port.

    Args:
        timeout_s: see `Server`.
        log: the log.
    """

    def __init__(self, timeout_s: float, log: Log) -> None:
        self._timeout_s = timeout_s
        self._log = log
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int | None], Server] = {}

    def at(self, host: str, port: int | None) -> Server:
        """Return the server."""
        with self._lock:
            known = self._known.get((host, port))
            if known is None:
                known = self._known[host, port] = Server(host, port, self._timeout_s, self._log)
            return known

    def answering(self) -> dict[tuple[str, str], bool]:
        """Return whether each server answers, as far as is known, by its host and port."""
        return {(server.host, server.port): not server.is_down() for server in self._all()}

    def asked(self) -> list[Server]:
        """Return those that have been asked for something."""
        return [server for server in self._all() if server.was_asked()]

    def retire(self, used: Collection[Server]) -> None:
        """End children that nobody has needed lately, and forget servers that nothing is on any more.

        A name that was misspelt once would else be a server that does not answer, for doctor and Prometheus, for ever.
        """
        for server in self._all():
            if server in used:
                server.retire()
            else:
                server.stop()
        with self._lock:
            self._known = {key: server for key, server in self._known.items() if server in used}

    def stop(self) -> None:
        """End all children that are idle."""
        for server in self._all():
            server.stop()

    def _all(self) -> list[Server]:
        with self._lock:
            return list(self._known.values())


def _raised(failure: Failure) -> Exception:
    kind = getattr(errors, failure.kind, errors.StorageFailed)
    error: Exception = kind(failure.summary)
    if failure.code:
        error.__cause__ = OSError(failure.code, failure.summary)
    return error


def _do_nothing() -> None:
    """Look at nothing."""
