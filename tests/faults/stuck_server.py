"""A file system of one empty directory, served by this process (FUSE): stop it, and whoever looks there hangs.

Usage: python -m faults.stuck_server MOUNTPOINT

Speaks just enough of the kernel's protocol, see fuse(4) and linux/fuse.h.
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
"""`fuse_init_out` of protocol 7.22, which is short."""
ATTRIBUTES = struct.pack("=6Q3I7I", 1, 0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0)
"""`fuse_attr` of the one directory, root's."""
ATTRIBUTES_REPLY = struct.pack("=QII", 0, 0, 0) + ATTRIBUTES
"""`fuse_attr_out`: nobody may remember them, so that each look comes here."""
OPENED_REPLY = bytes(16)
"""`fuse_open_out`."""

FORGET, INIT, INTERRUPT, BATCH_FORGET = 2, 26, 36, 42
UNANSWERED = {FORGET, INTERRUPT, BATCH_FORGET}
GETATTR, SETATTR, OPENDIR, READDIR, RELEASEDIR, FSYNCDIR = 3, 4, 27, 28, 29, 30
REPLIES = {
    INIT: INIT_REPLY,
    GETATTR: ATTRIBUTES_REPLY,
    SETATTR: ATTRIBUTES_REPLY,
    OPENDIR: OPENED_REPLY,
    READDIR: b"",
    RELEASEDIR: b"",
    FSYNCDIR: b"",
}
LOOKUP = 1
LARGEST_REQUEST = 1 << 18


def serve(device: int) -> None:
    """Answer the kernel until the file system is unmounted."""
    while True:
        try:
            _, opcode, unique, *_ = REQUEST.unpack_from(os.read(device, LARGEST_REQUEST))
        except OSError as gone:
            if gone.errno == errno.ENODEV:
                return
            raise
        if opcode in UNANSWERED:
            continue
        body = REPLIES.get(opcode, b"")
        error = 0 if opcode in REPLIES else -errno.ENOENT if opcode == LOOKUP else -errno.ENOSYS
        os.write(device, REPLY.pack(REPLY.size + len(body), error, unique) + body)


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
