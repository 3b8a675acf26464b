"""The fd store: a process that keeps files open, and so keeps their locks, when the daemon ends.

See `fd_store.py`.

It reads and writes none of the files. It ends when it keeps nothing and no daemon is connected. A message is
a letter, a key and the files. Each message is answered, so that the daemon knows what was done.

This process outlives an upgrade of the daemon. So letters may be added, and none may change its meaning. A
letter that this process does not know makes it hang up, which is how a newer daemon learns that it talks to
an older fd store.
"""

import socket
import sys
from contextlib import suppress

from pyvol.host.processes.fds import close

KEEP, DROP, GIVE = b"K", b"D", b"G"
FETCH = b"F"
"""Asks for the files of one key. Older fd stores know only `GIVE`, which asks for all files."""
DONE, FULL, FILES = b".", b"!", b"F"
MOST_BYTES = 1 << 20
MOST_FILES = 2
BACKLOG = 16
"""Daemons that were killed while this process did not answer are in the queue before the next daemon."""


class FdStoreServer:
    """The files, by key."""

    def __init__(self) -> None:
        self._kept: dict[bytes, list[int]] = {}

    def serve(self, line: socket.socket, listener: socket.socket) -> None:
        """Serve the daemon that started this process, then others in turn, until nothing is kept."""
        listener.listen(BACKLOG)  # called here: a daemon that connects learns the pid of the process that called it
        while True:
            with line, suppress(OSError):  # the daemon was killed
                while self._answer(line):
                    pass
            if not self._kept:
                return
            line, _ = listener.accept()

    def _answer(self, line: socket.socket) -> bool:
        message, files, flags, _ = socket.recv_fds(line, MOST_BYTES, MOST_FILES)
        key = message[1:]
        answer = DONE
        match message[:1]:
            case b"K":
                close(self._kept.pop(key, []))
                if flags & socket.MSG_CTRUNC:  # this process has as many files open as it may
                    close(files)
                    answer = FULL
                else:
                    self._kept[key] = files
            case b"D":
                close(self._kept.pop(key, []))
            case b"G":
                for kept, theirs in self._kept.items():
                    socket.send_fds(line, [FILES + kept], theirs)
            case b"F":
                if key in self._kept:
                    socket.send_fds(line, [FILES + key], self._kept[key])
            case _:
                return False
        line.sendall(answer)
        return True


if __name__ == "__main__":
    FdStoreServer().serve(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))
