"""A process that keeps open files, and the locks that are theirs, over the end of the daemon; see `keeping.py`.

It reads and writes none of them. It ends when it has nothing to keep and no daemon to keep it for. A message is a
letter, a key and the files; each is answered, so that a daemon knows what is done.
"""

import os
import socket
import sys
from contextlib import suppress

KEEP, DROP, GIVE = b"K", b"D", b"G"
DONE, FILES = b".", b"F"
MOST_BYTES = 1 << 20
MOST_FILES = 2


class Keeper:
    """What is kept, by key."""

    def __init__(self) -> None:
        self._kept: dict[bytes, list[int]] = {}

    def serve(self, listener: socket.socket) -> None:
        """Serve one daemon after the other, until the last has gone and nothing is left."""
        while True:
            line, _ = listener.accept()
            with line, suppress(OSError):  # a daemon that was killed meanwhile
                while self._answer(line):
                    pass
            if not self._kept:
                return

    def _answer(self, line: socket.socket) -> bool:
        message, files, _, _ = socket.recv_fds(line, MOST_BYTES, MOST_FILES)
        key = message[1:]
        match message[:1]:
            case b"K":
                self._drop(key)
                self._kept[key] = files
            case b"D":
                self._drop(key)
            case b"G":
                for kept, theirs in self._kept.items():
                    socket.send_fds(line, [FILES + kept], theirs)
            case _:
                return False
        line.sendall(DONE)
        return True

    def _drop(self, key: bytes) -> None:
        for file in self._kept.pop(key, []):
            with suppress(OSError):  # of a server's file system it may tell of what it could not write
                os.close(file)


if __name__ == "__main__":
    Keeper().serve(socket.socket(fileno=int(sys.argv[1])))
