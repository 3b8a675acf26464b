"""gunicorn, embedded: one gthread worker on the open socket.

Only this module and `gunicorn_worker.py` know gunicorn.

One worker, because locks, claims and the catalog's memory need one process; threads, because no request may
wait for another volume's (engine facts 25 and 28).
"""

import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from pyvol.api.codec import HANG_UP
from pyvol.api.docker import CALLER_STARTED, CALLER_WAITS
from pyvol.config.settings import Settings
from pyvol.core.errors import BadSetting, PyvolError
from pyvol.core.ports.host import Log
from pyvol.daemon.app import Daemon
from pyvol.daemon.gunicorn_worker import IGNORED, STOPPING, ConnectionWorker
from pyvol.host.processes import limits
from pyvol.host.processes.socket_peer import is_there, peer_started

THREADS = 128
"""A Mount that hangs holds a thread, and Gets need a free one. An idle thread costs next to nothing."""
MAX_CONNECTIONS = 1000
FILES_A_CONNECTION = 4
"""Its socket, and what its request opens. gunicorn ends the worker if accept(2) finds no free descriptor."""
GRACE_S = 30
EX_FAILURE = 1

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]


def serve(settings: Settings, log: Log, bind: list[str]) -> None:
    """Serve on the open socket until SIGTERM, then raise SystemExit."""
    limits.allow_files()
    _Server(settings, log, bind).run()


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's application object: its settings, and the app that the worker loads."""

    def __init__(self, settings: Settings, log: Log, bind: list[str]) -> None:
        self._settings = settings
        self._log = log
        self._bind = bind
        self._daemon: Daemon | None = None
        super().__init__()

    def load_config(self) -> None:
        for key, value in {
            "bind": self._bind,
            "workers": 1,
            "worker_class": ConnectionWorker,
            "threads": THREADS,
            "worker_connections": _connections(),
            # An idle connection that we close costs the engine's next request its body (engine fact 29).
            "keepalive": 0,
            # No time-out: it would kill a slow Mount into an HTML error (engine fact 25).
            "timeout": 0,
            "graceful_timeout": GRACE_S,
            "control_socket_disable": True,
            "proc_name": "pyvol",
            "logger_class": _Logger,
            "worker_exit": self._stopped,
            "pre_fork": _before_fork,
            "post_fork": _forked,
        }.items():
            self.cfg.set(key, value)

    def load(self) -> WsgiApp:
        """Open the catalog and reconcile it, in the worker: an open database must not cross a fork.

        The socket listens already: early requests wait in its backlog (engine fact 35).
        """
        try:
            self._daemon = Daemon(self._settings, self._log)
        except PyvolError as error:
            self._log.warning("pyvol cannot start", error=str(error))
            sys.exit(Arbiter.APP_LOAD_ERROR if isinstance(error, BadSetting) else Arbiter.WORKER_BOOT_ERROR)
        self._daemon.start()
        self._log.info("listening", socket=str(self._settings.socket))
        return _with_connection(self._daemon.flask)

    def run(self) -> None:
        _Arbiter(self).run()

    def stopping(self) -> None:
        """Make the daemon answer requests that would delay the stop. A signal handler calls this."""
        if self._daemon is not None:
            self._daemon.stopping()

    def _stopped(self, _: Arbiter, __: Worker) -> None:
        if self._daemon is not None:
            self._daemon.stop()


class _Arbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's arbiter without the signals that would run two workers at once."""

    def init_signals(self) -> None:
        super().init_signals()
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)

    def spawn_worker(self) -> int:
        """Fork, with the signals that end a worker blocked until the worker has its own handlers.

        Until then it has the arbiter's handlers: they would drop a SIGTERM, and the worker would serve until
        SIGKILL.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            pid: int = super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        return pid

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        # Only after a bad setting is a new start useless: a disk that is full now may have space at the next
        # start.
        codes = {self.APP_LOAD_ERROR: os.EX_CONFIG, self.WORKER_BOOT_ERROR: EX_FAILURE}
        super().halt(reason, codes.get(exit_status, exit_status))


def _connections() -> int:
    """Return how many connections may be open at a time.

    More connections wait in the backlog, where they need no descriptor.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files < 0 else min(MAX_CONNECTIONS, max(1, files // FILES_A_CONNECTION))


def _before_fork(_: Arbiter, __: Worker) -> None:
    # Both processes share the pages of imported modules until one writes to them, as the garbage collector
    # would.
    gc.collect()
    gc.freeze()


def _forked(arbiter: Arbiter, _: Worker) -> None:
    # A worker without its parent would keep the lock on the state, and answer on a socket that nobody
    # watches.
    limits.die_with_parent()
    if os.getppid() != arbiter.pid:  # the parent died before the call above
        sys.exit(Arbiter.WORKER_BOOT_ERROR)


def _with_connection(app: WsgiApp) -> WsgiApp:
    """Let the app drop its connection without an answer (engine fact 36), and ask about its caller."""

    def serve_one(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ[HANG_UP] = lambda: environ["gunicorn.socket"].shutdown(socket.SHUT_RDWR)
        environ[CALLER_STARTED] = lambda: peer_started(environ["gunicorn.socket"])
        environ[CALLER_WAITS] = lambda: is_there(environ["gunicorn.socket"])
        return app(environ, start_response)

    return serve_one


class _Logger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger, which writes to our log: warnings as warnings, all else at level debug."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers = []
        self.error_log.propagate = True
        self.error_log.setLevel(logging.getLogger().level)

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        self.error_log.debug(msg, *args, **kwargs)

    def error(self, msg: str, *args: Any, **kwargs: Any) -> None:
        # pyvol has already logged in one line why the worker could not start; gunicorn adds three more.
        is_known = msg.startswith(("Worker (pid:%s) exited with code", "Shutting down", "Reason:"))
        self.error_log.log(logging.DEBUG if is_known else logging.ERROR, msg, *args, **kwargs)
