"""A server that answers NULL calls, which is enough for pyvol to consider an NFS server alive."""

import socket
import struct
import threading
from contextlib import suppress


class NullServer:
    """One such server, on the loopback address.

    Args:
        port: the port to listen on; 0 for any free port.
    """

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line, suppress(OSError):
                call = line.recv(1024)
                line.sendall(struct.pack("!7I", 0x80000018, *struct.unpack("!I", call[4:8]), 1, 0, 0, 0, 0))
