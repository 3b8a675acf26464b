"""Open files that outlive the daemon: a second process, the fd store, has them open, and the daemon does not.

A lock of flock(2) belongs to the open file, and ends with the last process that has it open. The daemon may
be killed or upgraded while containers run. So `fd_store_server.py` alone keeps the files, and the daemon asks
for them when it needs them. The fd store starts when there is a file to keep. The next daemon finds it by its
socket.

If the fd store ends, all locks end. The daemon notices at once, for its connection is closed.
"""

import errno
import os
import resource
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from pyvol.core.ports.host import Log
from pyvol.host.processes import fd_store_process
from pyvol.host.processes.fd_store_server import DROP, FETCH, FILES, FULL, GIVE, KEEP, MOST_BYTES, MOST_FILES
from pyvol.host.processes.fds import close

if TYPE_CHECKING:
    from subprocess import Popen

ENDED = "the fd store has ended"
PATIENCE_S = 10.0
"""The fd store does nothing that could take long. On a busy machine its start takes a while."""


class FdStore:
    """The daemon's connection to the fd store.

    Args:
        directory: where the socket is.
        log: the log.
        patience_s: how long an answer may take. An fd store that takes longer is killed.
    """

    def __init__(self, directory: str, log: Log, patience_s: float = PATIENCE_S) -> None:
        self._directory = directory
        self._log = log
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self._keys: set[bytes] = set()
        self._is_loss_unreported = False
        self._is_closed = False
        self._when_lost: list[Callable[[], None]] = []
        self._knows_fetch: bool | None = None
        self._process: Popen[bytes] | None = None
        self._pid = 0

    def when_lost(self, call: Callable[[], None]) -> None:
        """Call a function, in a thread, each time when the fd store has ended and took the files with it."""
        self._when_lost.append(call)

    def take_over(self) -> list[bytes]:
        """Return the keys of what an earlier daemon has left in the fd store.

        Raises OSError if an fd store exists and cannot be asked.
        """
        with self._lock:
            try:
                self._connect()
            except (FileNotFoundError, ConnectionRefusedError):  # it does not exist, or has ended
                return []
            try:
                with self._watched():
                    keys, _ = self._receive(GIVE)
            except OSError as error:
                self._log.warning("locks of an earlier pyvol not taken over", error=str(error))
                return []
            self._keys.update(keys)
            return keys

    def has(self, key: bytes) -> bool:
        """Return whether the fd store keeps files under a key. Does no I/O."""
        return key in self._keys

    def keep(self, key: bytes, files: Sequence[int]) -> None:
        """Put files into the fd store. The caller closes its own.

        Raises OSError, and the key has no files then.
        """
        with self._lock:
            try:
                is_kept = self._keep(key, files)
            except (ConnectionError, TimeoutError):  # no fd store exists yet, or it has ended, or did not answer
                self._start()
                is_kept = self._keep(key, files)
            if not is_kept:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            self._keys.add(key)

    def files(self, key: bytes) -> Sequence[int] | None:
        """Return duplicates of the files under a key; None if the fd store has none.

        Raises OSError if this process has as many files open as it may, or has closed the connection.
        """
        with self._lock:
            return self._files(key)

    def drop(self, key: bytes) -> None:
        """Make the fd store close the files under a key."""
        with self._lock:
            self._drop(key)

    def take(self, key: bytes) -> Sequence[int]:
        """Return the files under a key, which the fd store has closed: so the last close is the caller's."""
        with self._lock:
            try:
                files = self._files(key) or ()
            except OSError as error:
                self._log.warning("lock is released without an answer of its server", error=str(error))
                files = ()
            self._drop(key)
            return files

    def close(self) -> None:
        """Leave the files to the fd store, and disconnect.

        A thread that is late changes nothing after that.
        """
        with self._lock:
            self._is_closed = True
            self._hang_up()

    def _keep(self, key: bytes, files: Sequence[int]) -> bool:
        """Send files; return whether the fd store has them. Raises OSError if it does not answer."""
        self._refuse_closed()
        self._keys.discard(key)
        with self._watched():
            if self._ask(KEEP + key, files) != FULL:
                return True
            self._raise_limit()
            return self._ask(KEEP + key, files) != FULL

    def _files(self, key: bytes) -> Sequence[int] | None:
        if key not in self._keys:
            return None
        self._refuse_closed()
        try:
            with self._watched():
                _, files = self._receive(GIVE if self._is_old() else FETCH + key, key)
        except (ConnectionError, TimeoutError):
            return None
        if files is None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return files

    def _drop(self, key: bytes) -> None:
        if key in self._keys and not self._is_closed:
            self._keys.discard(key)
            with suppress(OSError), self._watched():
                self._ask(DROP + key)

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise OSError(errno.ECANCELED, "pyvol is stopping")

    def _is_old(self) -> bool:
        """Return whether the fd store is of a pyvol that could not ask for the files of one key."""
        if self._knows_fetch is None:
            try:
                self._receive(FETCH)
                self._knows_fetch = True
            except ConnectionError:  # it hangs up on a letter that it does not know
                try:
                    self._connect()
                except FileNotFoundError:
                    raise ConnectionError(ENDED) from None
                self._knows_fetch = False
        return not self._knows_fetch

    def _ask(self, message: bytes, files: Sequence[int] = ()) -> bytes:
        if self._line is None:
            raise ConnectionError("no fd store exists yet")
        if files:
            socket.send_fds(self._line, [message], files)
        else:
            self._line.sendall(message)
        answer = self._line.recv(1)
        if not answer:
            raise ConnectionError(ENDED)
        return answer

    def _receive(self, message: bytes, wanted: bytes = b"") -> tuple[list[bytes], Sequence[int] | None]:
        """Send a message; return the keys of the answer, and the requested files unless some are missing."""
        if self._line is None:
            raise ConnectionError("no fd store exists yet")
        self._line.sendall(message)
        keys: list[bytes] = []
        found: Sequence[int] | None = None
        with ExitStack() as failed:
            failed.callback(lambda: close(found or ()))
            while True:
                answer, files, flags, _ = socket.recv_fds(self._line, MOST_BYTES, MOST_FILES)
                if not answer:
                    raise ConnectionError(ENDED)
                if answer[:1] != FILES:
                    failed.pop_all()
                    return keys, found
                keys.append(answer[1:])
                if keys[-1] == wanted and not flags & socket.MSG_CTRUNC:
                    found = files
                else:
                    close(files)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Give the fd store up if it has ended, and kill it if it does not answer."""
        try:
            yield
        except (ConnectionError, TimeoutError) as error:
            if isinstance(error, ConnectionError):
                self._pid = 0  # another process may get the number
            self._end()
            raise

    def _raise_limit(self) -> None:
        """Let the fd store have as many files open as this process may, or at least as it may itself."""
        pid = self._process.pid if self._process is not None else self._pid
        if pid > 0:
            _, ours = resource.getrlimit(resource.RLIMIT_NOFILE)
            with suppress(OSError):
                _, its = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (its, its))
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (ours, ours))

    def _end(self) -> None:
        """End the fd store: beside another one it would keep what no daemon could release."""
        self._hang_up()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        elif self._pid > 0:  # 0 is a process that this one cannot see
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self._process, self._pid = None, 0
        if self._keys:
            self._keys.clear()
            self._is_loss_unreported = True

    def _start(self) -> None:
        line, self._process = fd_store_process.start(self._directory)
        self._knows_fetch = True
        self._use(line)

    def _connect(self) -> None:
        line, pid = fd_store_process.connect(self._directory, self._patience_s)
        self._hang_up()
        self._pid = pid
        try:
            self._use(line)
        except OSError:
            self._end()
            raise

    def _use(self, line: socket.socket) -> None:
        """Use a connection, and let a thread notice its end. On OSError the connection is closed."""
        line.settimeout(self._patience_s)
        with ExitStack() as failed:
            failed.callback(line.close)  # an fd store whose end nobody notices must keep nothing
            descriptor = os.dup(line.fileno())  # which stays this connection's, whatever is opened after a hang-up
            failed.callback(os.close, descriptor)
            try:
                threading.Thread(target=self._await_end, args=(line, descriptor), name="fd store", daemon=True).start()
            except RuntimeError as error:
                raise OSError(errno.EAGAIN, str(error)) from error
            failed.pop_all()
        self._line = line

    def _await_end(self, line: socket.socket, descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # POLLHUP is reported without being asked for
        poll.poll()
        os.close(descriptor)
        with self._lock:
            if self._line is line:  # the fd store has ended; this process has not hung up
                self._pid = 0
                self._end()
            is_lost, self._is_loss_unreported = self._is_loss_unreported, False
        if is_lost:
            self._log.warning(ENDED, error="all locks of NFS volumes ended with it, and are taken again")
            for call in self._when_lost:
                call()

    def _hang_up(self) -> None:
        if self._line is not None:
            with suppress(OSError):  # it may not be connected any more
                self._line.shutdown(socket.SHUT_RDWR)  # which ends the thread that waits for the connection's end
            self._line.close()
            self._line = None
