"""Open files that outlive the daemon: a second process holds them too, and hands them to the next daemon.

A lock of flock(2) belongs to the open file, and ends with the last process that has it open. The daemon may be killed
while containers go on, so `fd_store_server.py` has each of these files open as well. The server is started when there
is a file to keep; the next daemon finds it by its socket.
"""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from pyvol.core.ports.host import Log
from pyvol.host.processes.fd_store_server import DROP, FILES, FULL, GIVE, KEEP, MOST_BYTES, MOST_FILES
from pyvol.host.processes.fds import close
from pyvol.host.processes.socket_peer import peer_pid
from pyvol.host.processes.worker_pool import PACKAGES

SOCKET = "keeper.sock"
ENDED = "the keeper of open files has ended"
PATIENCE_S = 10.0
"""It does nothing that could take long; on a busy machine its start takes a while."""


class FdStore:
    """The daemon's end of the line.

    Args:
        directory: where the socket lies.
        log: the log.
    """

    def __init__(self, directory: str, log: Log) -> None:
        self._directory = directory
        self._log = log
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self._kept: dict[bytes, Sequence[int]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def take_over(self) -> dict[bytes, Sequence[int]]:
        """Return what an earlier daemon has had kept, by key, as far as it can be had; it stays kept.

        Raises OSError when the keeper that there is cannot be asked.
        """
        with self._lock:
            try:
                self._connect()
            except (FileNotFoundError, ConnectionRefusedError):  # there is none, or it ended
                return {}
            try:
                self._take_all()
            except OSError as error:
                self._log.warning("not all locks of an earlier pyvol taken over", error=str(error))
                self._renew_or_tell()
            return dict(self._kept)

    def keep(self, key: bytes, files: Sequence[int]) -> None:
        """Have files kept, which stay the daemon's too; raises OSError."""
        with self._lock:
            self._kept[key] = files
            try:
                self._ask(KEEP + key, files)
            except OSError:  # there is none yet, or somebody stopped or killed it
                try:
                    self._renew()
                except OSError:
                    del self._kept[key]
                    raise

    def drop(self, key: bytes) -> None:
        """Have files kept no more, before the daemon closes them: so its close is the last."""
        with self._lock:
            if self._kept.pop(key, None) is not None:
                try:
                    self._ask(DROP + key)
                except OSError:
                    self._renew_or_tell()

    def close(self) -> None:
        """Leave what is kept to the keeper."""
        with self._lock:
            self._hang_up()

    def _take_all(self) -> None:
        assert self._line is not None  # noqa: S101  # who takes over has connected
        with self._watching():
            self._line.sendall(GIVE)
            while True:
                message, files, flags, _ = socket.recv_fds(self._line, MOST_BYTES, MOST_FILES)
                if flags & socket.MSG_CTRUNC:
                    close(files)
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
                if not message:
                    raise ConnectionError(ENDED)
                if message[:1] != FILES:
                    return
                self._kept[message[1:]] = files

    def _ask(self, message: bytes, files: Sequence[int] = ()) -> None:
        if self._line is None:
            raise ConnectionError("nobody keeps files yet")
        with self._watching():
            if files:
                socket.send_fds(self._line, [message], files)
            else:
                self._line.sendall(message)
            answer = self._line.recv(1)
            if not answer:
                raise ConnectionError(ENDED)
        if answer == FULL:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Hang up when there is no answer, or the end of the keeper."""
        try:
            yield
        except (ConnectionError, TimeoutError) as error:
            self._hang_up()
            if isinstance(error, ConnectionError):
                self._pid = 0  # which may be another's soon
            raise

    def _renew_or_tell(self) -> None:
        try:
            self._renew()
        except OSError as error:
            self._log.warning("locks would end with pyvol", error=str(error))

    def _renew(self) -> None:
        """Have another one keep what is kept, if anything is; raises OSError."""
        self._end()
        if self._kept:
            self._make()
            for key, files in self._kept.items():
                self._ask(KEEP + key, files)

    def _end(self) -> None:
        """End the keeper that there is: beside another one it would keep what nobody has it drop."""
        self._hang_up()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        elif self._pid > 0:  # 0 is one that has ended, or that this process cannot see
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self._process, self._pid = None, 0

    def _make(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(f"{self._directory}/{SOCKET}")
        # A line that it has from the start: so it ends when this process is killed before it had anything kept.
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(PATIENCE_S)
        with theirs, _socket() as listener, self._near() as place:
            listener.bind(place)
            ends = (theirs.fileno(), listener.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-S", "-m", "pyvol.host.processes.fd_store_server", *map(str, ends)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                pass_fds=ends,
                env={**os.environ, "PYTHONPATH": PACKAGES},
                start_new_session=True,
            )

    def _connect(self) -> None:
        line = _socket()
        try:
            line.settimeout(PATIENCE_S)
            with self._near() as place:
                line.connect(place)
            self._pid = peer_pid(line)
        except OSError:
            line.close()
            raise
        self._line = line

    @contextmanager
    def _near(self) -> Iterator[str]:
        """Yield a path of the socket that is short: it may have no more than 107 bytes."""
        at = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{at}/{SOCKET}"
        finally:
            os.close(at)

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
