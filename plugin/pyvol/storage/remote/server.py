"""An NFS server: it has a few workers, and a breaker that knows when not to ask."""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from pyvol.core import errors
from pyvol.core.concurrency.circuit_breaker import BACK, Breaker
from pyvol.core.model.mount_spec import NFS_PORT
from pyvol.core.ports.host import Log
from pyvol.core.ports.pool import Condition
from pyvol.host.processes.worker_pool import Message, WorkerLost, WorkerPool
from pyvol.storage.remote.failures import error_of
from pyvol.storage.remote.messages import Reply, Request
from pyvol.storage.remote.mount_messages import Probe

T = TypeVar("T")

WORKERS = 4
"""How many requests a server gets at a time. If it hangs, as many workers wait for it, and no more."""
FRESH_S = 2.0
"""A server that answered so recently is not probed before the next request."""
FORCE_S = 1.0
WANTED_S = 600.0
"""How long a server that is down is probed after the last request that needed it."""
IDLE_S = 60.0
PATIENCE_S = 50.0
"""How long a request may take while its server answers; Docker's shortest deadline is 60 s (fact 14)."""
UNKNOWN = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
NAME_IT = "correct the server's name, or check that this host can resolve it"

_encode = msgspec.msgpack.Encoder().encode
_replies = msgspec.msgpack.Decoder(Reply)


class Server:
    """One server, by its host and port.

    Args:
        host: its name or address.
        port: its TCP port; None if it cannot be probed.
        timeout_s: how long a caller waits for a dead server at most.
        log: the log.
        worker: the module that workers run.
        workers: take the requests; by default processes that run the module.
        prober: the worker that asks whether the server answers; by default one that runs the same module.
        wanted_s: see `WANTED_S`.
    """

    def __init__(  # noqa: PLR0913  # what a server is, and what its tests replace
        self,
        host: str,
        port: int | None,
        timeout_s: float,
        log: Log,
        *,
        worker: str,
        workers: WorkerPool | None = None,
        prober: WorkerPool | None = None,
        wanted_s: float = WANTED_S,
    ) -> None:
        self.host = host
        self._port = port
        self._name = host if port in {None, NFS_PORT} else f"{host}:{port}"
        self._timeout_s = timeout_s
        self._log = log
        self._wanted_s = wanted_s
        self._workers = workers or WorkerPool(worker, WORKERS)
        self._prober = prober or WorkerPool(worker, 1)
        self._breaker = Breaker(self._name, lambda: datetime.now(UTC))
        self._probing = threading.Lock()
        self._answered_at = self._wanted = 0.0
        self._is_watched = False
        self._stopped = threading.Event()
        self._when_back: list[Callable[[], None]] = []

    @property
    def port(self) -> str:
        """Return the server's port; an empty string if its export's options do not allow to probe one."""
        return str(self._port or "")

    @property
    def round_trips(self) -> int:
        """Return how many requests its workers got.

        Probes, which ask whether the server answers, do not count.
        """
        return self._workers.calls

    def is_down(self) -> bool:
        """Return whether the server is known not to answer."""
        return self._breaker.is_open

    def was_asked(self) -> bool:
        """Return whether anybody has asked the server for anything."""
        return self._breaker.asked is not None

    def summary(self) -> str:
        """Return what is known of the server, in a few words. Does no I/O."""
        return self._breaker.summary()

    def condition(self, what: str = "") -> Condition:
        """Return what is known of the server, for people, under a name of the caller's choice.

        Does no I/O.
        """
        what = what or f"server {self._name}"
        return Condition(what, self.summary(), not self.is_down(), self._breaker.hint)

    def when_back(self, call: Callable[[], None]) -> None:
        """Call a function each time when the server answers again."""
        self._when_back.append(call)

    def ask(self, request: Request, gives: type[T], patience_s: float = PATIENCE_S, files: Sequence[int] = ()) -> T:
        """Return a worker's answer, see `exchange`."""
        return self.exchange(request, gives, patience_s, files)[0]

    def exchange(
        self, request: Request, gives: type[T], patience_s: float = PATIENCE_S, files: Sequence[int] = ()
    ) -> tuple[T, Sequence[int]]:
        """Return a worker's answer, and the open files that come with it.

        The files of the request are duplicates, which become the worker's. They are closed here in any case.

        Raises:
            StorageFailed: the server does not answer, or not in time; or the failure that the worker answers.
        """
        try:
            self._look(FRESH_S)
        except errors.StorageFailed:
            for file in files:  # the same open files have other descriptors, so this close does not wait for the server
                os.close(file)
            raise
        return self._answer(request, files, gives, patience_s, lambda: self._look(1.0))

    def force(self, request: Request, gives: type[T], files: Sequence[int] = ()) -> T:
        """Return a worker's answer, also while the server is down: the kernel can do this without the server.

        The files become the worker's, as in `exchange`. Raise `StorageFailed` also if the answer takes too
        long.
        """
        return self._answer(request, files, gives, FORCE_S if self.is_down() else self._timeout_s, _do_nothing)[0]

    def _answer(
        self, request: Request, files: Sequence[int], gives: type[T], patience_s: float, look: Callable[[], None]
    ) -> tuple[T, Sequence[int]]:
        if self._port is None:
            patience_s = min(patience_s, self._timeout_s)
        begun = time.monotonic()
        try:
            answer = self._workers.call(Message(_encode(request), files), patience_s, look)
        except WorkerLost as error:
            if self._port is None:
                self._failed(str(error))
                raise self._down() from None
            if self.is_down():
                raise self._down() from None
            raise errors.StorageFailed(
                f"{self._name} answers, but a request did not end within {patience_s:.0f} s",
                str(error),
                "see the server's own log, then try again",
            ) from None
        except OSError as error:
            raise self._unasked(error) from error
        if self._port is None:
            self._answered(time.monotonic() - begun)
        reply = _replies.decode(answer.content)
        if reply.failure is not None:
            raise error_of(reply.failure)
        return msgspec.msgpack.decode(reply.value, type=gives), answer.descriptors

    def retire(self) -> None:
        """End workers that had nothing to do lately."""
        self._workers.retire(IDLE_S)
        self._prober.retire(IDLE_S)

    def stop(self) -> None:
        """End all idle workers; the others end with this process."""
        self._stopped.set()
        self._workers.retire()
        self._prober.retire()

    def workers(self) -> int:
        """Return how many worker processes exist."""
        return self._workers.count() + self._prober.count()

    def _look(self, fresh_s: float) -> None:
        """Raise `StorageFailed` if the server does not answer."""
        self._wanted = time.monotonic()
        if self.is_down():
            if self._is_watched:
                raise self._down()
        elif self._port is None or time.monotonic() - self._answered_at < fresh_s:
            return
        with self._probing:
            # Another thread may have probed while this one waited for the lock; its result counts here too.
            if not self._is_watched and time.monotonic() - self._answered_at >= fresh_s:
                self._probe()
        if self.is_down():
            raise self._down()

    def _probe(self) -> None:
        """Find out whether the server answers. Raise `StorageFailed` if no process can be started to ask."""
        timeout_s = self._timeout_s * 0.4  # a caller may have waited a second for an answer before this
        assert self._port is not None  # noqa: S101  # no caller probes without a port
        request = Probe(self.host, self._port, timeout_s)
        try:
            reply = _replies.decode(self._prober.call(Message(_encode(request)), timeout_s + 0.5, _do_nothing).content)
        except WorkerLost:
            self._failed("no answer, not even to whether its name is known")
            return
        except OSError as error:
            raise self._unasked(error) from error
        if reply.failure is not None:
            is_unknown = reply.failure.errno in UNKNOWN
            self._failed(reply.failure.what, NAME_IT if is_unknown else BACK)
        else:
            self._answered(msgspec.msgpack.decode(reply.value, type=float))

    def _answered(self, latency_s: float) -> None:
        self._answered_at = time.monotonic()
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
        """Probe at intervals until the server answers or is not wanted any more.

        Until then no other thread probes.
        """
        while self.is_down() and time.monotonic() - self._wanted < self._wanted_s:
            if self._stopped.wait(self._timeout_s * 0.4):
                break
            if self._port is None:
                self._answered(0.0)  # the next request finds out
            else:
                with (
                    self._probing,
                    suppress(errors.StorageFailed),
                ):  # if no process can be started, the next round probes
                    self._probe()
        self._is_watched = False

    def _unasked(self, error: OSError) -> errors.StorageFailed:
        return errors.StorageFailed(
            f"pyvol cannot start a process that asks {self._name}", str(error), "raise pyvol's limits, then try again"
        )

    def _down(self) -> errors.ServerDown:
        return errors.ServerDown(self._breaker.summary(), hint=self._breaker.hint)


def _do_nothing() -> None:
    """Look at nothing."""
