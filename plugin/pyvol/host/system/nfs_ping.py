"""Check that an NFS server answers: one NULL call over TCP, see RFC 5531 and RFC 7530."""

import secrets
import socket
import struct
import time

NFS_PROGRAM = 100003
NFS_VERSION = 3
RPC_VERSION = 2
LAST_FRAGMENT = 0x80000000
CALL = struct.Struct("!11I")
REPLY = struct.Struct("!3I")
REPLY_KIND = 1


def probe(host: str, port: int, timeout_s: float) -> float:
    """Return how many seconds a server took to answer; raise OSError if it does not answer.

    Any answer counts: a server that only speaks version 4 refuses version 3, and is alive.
    """
    begun = time.monotonic()
    xid = secrets.randbits(32)
    size = CALL.size - 4
    with socket.create_connection((host, port), timeout_s) as line:
        line.settimeout(max(timeout_s - (time.monotonic() - begun), 0.1))
        line.sendall(CALL.pack(LAST_FRAGMENT | size, xid, 0, RPC_VERSION, NFS_PROGRAM, NFS_VERSION, 0, 0, 0, 0, 0))
        reply = b""
        while len(reply) < REPLY.size:
            data = line.recv(1024)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            reply += data
    _, answered, kind = REPLY.unpack(reply[: REPLY.size])
    if answered != xid or kind != REPLY_KIND:
        raise ConnectionError("the server that answers is not an NFS server")
    return time.monotonic() - begun
