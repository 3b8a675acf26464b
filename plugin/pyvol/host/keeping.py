"""Open files that outlive the daemon: a process of their own keeps them too, and gives them to the next daemon.

A lock of flock(2) is the open file's, and ends with the last process that has it open. The daemon may be killed while
containers go on; so a second process has each of them open, see `keeper.py`. It is made when there is something to
keep, and found again by its socket.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from pyvol.host.children import PACKAGES
from pyvol.host.keeper import DROP, FILES, GIVE, KEEP, MOST_BYTES, MOST_FILES

PATIENCE_S = 5.0
"""It does nothing that could take long; on a busy machine its start takes a while."""


class Keeping:
    """The daemon's end of the line.

    Args:
        directory: where the socket lies.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self._kept: dict[bytes, Sequence[int]] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def take_over(self) -> dict[bytes, list[int]]:
        """Return what an earlier daemon has had kept, by key; it stays kept. Raises OSError."""
        with self._lock:
            try:
                self._line = self._connected()
            except (FileNotFoundError, ConnectionRefusedError):  # there is none, or it ended
                return {}
            found: dict[bytes, list[int]] = {}
            self._line.sendall(GIVE)
            while True:
                message, files, _, _ = socket.recv_fds(self._line, MOST_BYTES, MOST_FILES)
                if message[:1] != FILES:
                    self._kept.update(found)
                    return found
                found[message[1:]] = files

    def keep(self, key: bytes, files: Sequence[int]) -> None:
        """Have files kept, which stay the daemon's too; raises OSError."""
        with self._lock:
            self._kept[key] = files
            try:
                self._ask(KEEP + key, files)
            except OSError:  # there is none yet, or somebody killed it
                self._make()
                for each, theirs in self._kept.items():
                    self._ask(KEEP + each, theirs)

    def drop(self, key: bytes) -> None:
        """Have files kept no more, before the daemon closes them: so its close is the last."""
        with self._lock:
            if self._kept.pop(key, None) is not None:
                with suppress(OSError):  # who does not answer is made anew by the next `keep`
                    self._ask(DROP + key)

    def close(self) -> None:
        """Leave what is kept to the keeper."""
        with self._lock:
            self._hang_up()

    def _ask(self, message: bytes, files: Sequence[int] = ()) -> None:
        if self._line is None:
            raise ConnectionError("nobody keeps files yet")
        try:
            if files:
                socket.send_fds(self._line, [message], files)
            else:
                self._line.sendall(message)
            if not self._line.recv(1):
                raise ConnectionError("the keeper of open files has ended")
        except OSError:
            self._hang_up()
            raise

    def _make(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        with suppress(FileNotFoundError):
            os.unlink(f"{self._directory}/keeper.sock")
        with _socket() as listener:
            at = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                listener.bind(f"/proc/self/fd/{at}/keeper.sock")
            finally:
                os.close(at)
            listener.listen(1)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-S", "-m", "pyvol.host.keeper", str(listener.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                pass_fds=[listener.fileno()],
                env={**os.environ, "PYTHONPATH": PACKAGES},
                start_new_session=True,
            )
        self._line = self._connected()

    def _connected(self) -> socket.socket:
        line = _socket()
        try:
            line.settimeout(PATIENCE_S)
            at = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                line.connect(f"/proc/self/fd/{at}/keeper.sock")  # a socket's path may have no more than 107 bytes
            finally:
                os.close(at)
        except OSError:
            line.close()
            raise
        return line

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
