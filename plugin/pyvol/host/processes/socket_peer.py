"""The process at the other end of a Unix socket, see unix(7) and proc_pid_stat(5)."""

import os
import select
import socket
import struct
import time
from datetime import UTC, datetime

CREDENTIALS = struct.Struct("3i")
START_FIELD = 22
COMM_FIELD = 2


def peer_pid(connection: socket.socket) -> int:
    """Return the process at the other end.

    Return 0 if this process cannot see it, because it is in another PID namespace.
    """
    pid: int
    pid, _, _ = CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    return pid


def peer_started(connection: socket.socket) -> datetime | None:
    """Return when the process started that connected; None when our process namespace does not have it."""
    return started(peer_pid(connection))


def is_there(connection: socket.socket) -> bool:
    """Return whether the peer has the connection open.

    A peer that has only shut down its sending side has.
    """
    poll = select.poll()
    poll.register(connection, 0)  # poll reports POLLHUP without a request for it
    return not poll.poll(0)


def started(pid: int, proc: str = "/proc") -> datetime | None:
    """Return when a process started, to the hundredth of a second; None when it can't be seen."""
    try:
        with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()  # the command before it may have spaces and brackets
    except (FileNotFoundError, ProcessLookupError):
        return None
    since_boot_s = int(fields[START_FIELD - COMM_FIELD - 1]) / os.sysconf("SC_CLK_TCK")
    boot_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return datetime.fromtimestamp(boot_s + since_boot_s, UTC)
