"""Send requests from several clients while a command runs in a guest, and print the results.

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
"""How many more rounds each client works after the command has ended."""


class Client(threading.Thread):
    """Creates, mounts, unmounts and removes its own volume in a loop."""

    def __init__(self, number: int, socket: Path, over: threading.Event) -> None:
        super().__init__()
        self._name = f"stream{number}"
        self._wire = Wire(socket)
        self._over = over
        self.answered = 0
        self.lost: list[str] = []

    def run(self) -> None:
        """Work until the command has ended, and a few rounds longer."""
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
    """Run the command while the clients work."""
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
