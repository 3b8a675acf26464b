"""A FUSE file system of empty directories called 0, 1, …, served by this process: stop it, and access hangs.

Usage: python -m faults.stuck_server MOUNTPOINT

Implements only the necessary part of the kernel's protocol, see fuse(4) and linux/fuse.h.
"""

import ctypes
import errno
import os
import stat
import struct
import sys

REQUEST = struct.Struct("=IIQQIIII")
"""`fuse_in_header`: length, opcode, unique, node, uid, gid, pid, padding."""
REPLY = struct.Struct("=IiQ")
"""`fuse_out_header`: length, error, unique."""
INIT_REPLY = struct.pack("=IIIIHHI", 7, 22, 0, 0, 0, 0, 4096)
"""`fuse_init_out` of protocol 7.22, the short form."""
OPENED_REPLY = bytes(16)
"""`fuse_open_out`."""

LOOKUP, FORGET, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 26, 36, 42
UNANSWERED = {FORGET, INTERRUPT, BATCH_FORGET}
GETATTR, SETATTR, OPENDIR, READDIR, RELEASEDIR, FSYNCDIR = 3, 4, 27, 28, 29, 30
FIRST_NODE = 2
"""The inode number of directory 0; the root has 1."""
REPLIES = {
    INIT: INIT_REPLY,
    OPENDIR: OPENED_REPLY,
    READDIR: b"",
    RELEASEDIR: b"",
    FSYNCDIR: b"",
}
LARGEST_REQUEST = 1 << 18


def attributes(node: int) -> bytes:
    """Return the `fuse_attr` of a directory that root owns."""
    return struct.pack("=6Q3I7I", node, 0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0)


def reply(opcode: int, node: int, rest: bytes) -> bytes | None:
    """Return the body of an answer, or None for an unknown name; no answer may be cached."""
    if opcode in {GETATTR, SETATTR}:
        return struct.pack("=QII", 0, 0, 0) + attributes(node)
    if opcode == LOOKUP:
        name = rest.rstrip(b"\0")
        if not name.isdigit():
            return None
        found = FIRST_NODE + int(name)
        return struct.pack("=4Q2I", found, 0, 0, 0, 0, 0) + attributes(found)
    return REPLIES.get(opcode)


def serve(device: int) -> None:
    """Answer the kernel until the file system is unmounted."""
    while True:
        try:
            request = os.read(device, LARGEST_REQUEST)
        except OSError as gone:
            if gone.errno == errno.ENODEV:
                return
            raise
        _, opcode, unique, node, *_ = REQUEST.unpack_from(request)
        if opcode in UNANSWERED:
            continue
        body = reply(opcode, node, request[REQUEST.size :])
        error = 0 if body is not None else -errno.ENOENT if opcode == LOOKUP else -errno.ENOSYS
        os.write(device, REPLY.pack(REPLY.size + len(body or b""), error, unique) + (body or b""))


def main() -> None:
    """Mount and serve."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode={stat.S_IFDIR:o},user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"stuck", os.fsencode(sys.argv[1]), b"fuse", 0, options.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), sys.argv[1])
    serve(device)


if __name__ == "__main__":
    main()
