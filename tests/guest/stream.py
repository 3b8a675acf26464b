"""Runs in a guest: a stream of requests from several clients while a command runs; prints what became of them.

Usage: python -m guest.stream SOCKET COMMAND [ARGUMENT ...]
"""

import http.client
import json
import subprocess
import sys
import threading
from pathlib import Path

from guest.wire import Refused, Wire

CLIENTS = 4
REQUESTS_AFTER = 5
"""Each client goes on for so many rounds after the command has ended."""


class Client(threading.Thread):
    """Creates, mounts, unmounts and removes a volume of its own, over and over."""

    def __init__(self, number: int, socket: Path, over: threading.Event) -> None:
        super().__init__()
        self._name = f"stream{number}"
        self._wire = Wire(socket)
        self._over = over
        self.answered = 0
        self.lost: list[str] = []

    def run(self) -> None:
        """Work until the command is over, and a little longer."""
        left = REQUESTS_AFTER
        while left:
            left -= self._over.is_set()
            for verb, fields in (("Create", {}), ("Mount", {"ID": "x"}), ("Unmount", {"ID": "x"}), ("Remove", {})):
                try:
                    self._wire.call(verb, Name=self._name, **fields)
                except (OSError, http.client.HTTPException, Refused) as error:
                    self.lost.append(f"{verb}: {error!r}")
                else:
                    self.answered += 1


def main() -> None:
    """Run the command under the stream."""
    over = threading.Event()
    clients = [Client(number, Path(sys.argv[1]), over) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    code = subprocess.run(sys.argv[2:], check=False).returncode
    over.set()
    for client in clients:
        client.join()
    lost = [line for client in clients for line in client.lost]
    sys.stdout.write(json.dumps({"code": code, "answered": sum(client.answered for client in clients), "lost": lost}))


if __name__ == "__main__":
    main()
