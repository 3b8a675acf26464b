"""A process that keeps open files, and the locks that are theirs, over the end of the daemon; see `fd_store.py`.

It reads and writes none of them. It ends when it has nothing to keep and no daemon to keep it for. A message is a
letter, a key and the files; each is answered, so that a daemon knows what is done.
"""

import socket
import sys
from contextlib import suppress

from pyvol.host.processes.fds import close

KEEP, DROP, GIVE = b"K", b"D", b"G"
DONE, FULL, FILES = b".", b"!", b"F"
MOST_BYTES = 1 << 20
MOST_FILES = 2
BACKLOG = 16
"""Daemons that were killed while it did not answer stand before the next one."""


class Keeper:
    """What is kept, by key."""

    def __init__(self) -> None:
        self._kept: dict[bytes, list[int]] = {}

    def serve(self, line: socket.socket, listener: socket.socket) -> None:
        """Serve the daemon that made it, then one after the other, until the last has gone and nothing is left."""
        listener.listen(BACKLOG)  # here, for who connects is told the process that did this
        while True:
            with line, suppress(OSError):  # a daemon that was killed meanwhile
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
            case _:
                return False
        line.sendall(answer)
        return True


if __name__ == "__main__":
    Keeper().serve(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))
