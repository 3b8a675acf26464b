"""The process of the fd store, as the daemon starts and finds it; see `fd_store.py`."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from pyvol.host.processes.socket_peer import peer_pid
from pyvol.host.processes.worker_pool import PACKAGES

SOCKET = "keeper.sock"
"""The fd store's former name.

An fd store survives upgrades, so a new daemon has to find the socket of an old one.
"""
MODULE = "pyvol.host.processes.fd_store_server"


def start(directory: str) -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Start an fd store that has its socket in a directory; return a connection to it. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(f"{directory}/{SOCKET}")
    # The fd store has this connection from the start, so it ends if this process is killed before it keeps
    # files.
    line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ExitStack() as failed, theirs, _socket() as listener, _short_path(directory) as place:
        failed.callback(line.close)
        listener.bind(place)
        ends = (theirs.fileno(), listener.fileno())
        process = subprocess.Popen(
            [sys.executable, "-P", "-S", "-m", MODULE, *map(str, ends)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            pass_fds=ends,
            env={**os.environ, "PYTHONPATH": PACKAGES},
            start_new_session=True,
        )
        failed.pop_all()
    return line, process


def connect(directory: str, patience_s: float) -> tuple[socket.socket, int]:
    """Connect to the fd store of a directory; return the connection and the pid. Raises OSError.

    The pid is 0 if the process is in a PID namespace that this process cannot see.
    """
    line = _socket()
    try:
        line.settimeout(patience_s)
        with _short_path(directory) as place:
            line.connect(place)
        return line, peer_pid(line)
    except OSError:
        line.close()
        raise


@contextmanager
def _short_path(directory: str) -> Iterator[str]:
    """Yield a short path of the socket: it may have no more than 107 bytes."""
    at = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{at}/{SOCKET}"
    finally:
        os.close(at)


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
