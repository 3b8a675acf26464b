"""What runs in the children of `host/children.py`: carries out orders on a remote file system, one after the other."""

import errno
import os
import sys
from typing import Any

import msgspec

from pyvol.core import errors
from pyvol.host import children, directories, mounting, nullcall
from pyvol.host.mounting import MNT_DETACH, MountFailed
from pyvol.storage import trouble
from pyvol.storage.orders import Failure, Mount, Order, Own, Probe, Reply, Unmount
from pyvol.storage.trouble import told

MISSING = frozenset({errno.ENOENT, errno.EACCES})
"""What mount.nfs says of a path that the server does not have; the second is NFSv3's, for one outside of any export."""
MADE_MODE = 0o755
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_orders = msgspec.msgpack.Decoder(Order)
_encode = msgspec.msgpack.Encoder().encode


def handle(request: bytes) -> bytes:
    """Carry out an order; every failure is an answer too."""
    try:
        value = _carry_out(_orders.decode(request))
    except errors.PyvolError as error:
        cause = error.__cause__
        code = cause.errno or 0 if isinstance(cause, OSError) else 0
        return _encode(Reply(failure=Failure(type(error).__name__, str(error), code)))
    except OSError as error:
        return _encode(Reply(failure=Failure("OSError", error.strerror or str(error), error.errno or 0)))
    return _encode(Reply(msgspec.Raw(_encode(value))))


def _carry_out(order: Order) -> Any:
    match order:
        case Probe(host, port, timeout_s):
            return nullcall.probe(host, port, timeout_s)
        case Unmount(target, flags):
            return mounting.unmount(target, flags)
        case Mount():
            return _mount(order)
        case Own(whose, target, uid, gid, mode):
            with told(whose, "use what is mounted"):
                directories.own(target, uid, gid, mode)
            return None


def _mount(order: Mount) -> None:
    os.makedirs(order.target, mode=0o711, exist_ok=True)
    with told(order.whose, f"mount {order.host}:{order.path}"):
        try:
            _mount_at(order, order.path, order.target)
        except MountFailed as error:
            if not order.create or error.errno not in MISSING or order.path == "/":
                raise
            _make_path(order, error)
            _mount_at(order, order.path, order.target)
    try:
        with told(order.whose, "use what is mounted"):
            directories.own(order.target, order.uid, order.gid, order.mode)
    except errors.StorageFailed:
        mounting.unmount(order.target, MNT_DETACH)
        raise


def _mount_at(order: Mount, path: str, target: str) -> None:
    host = f"[{order.host}]" if ":" in order.host else order.host
    # mount.nfs would try again for two minutes; whoever asked has other plans.
    options = ",".join(filter(None, [order.options, "retry=0"]))
    mounting.mount(order.kind, f"{host}:{path}", target, options)


def _make_path(order: Mount, missing: MountFailed) -> None:
    """Make a path on the server, by way of the nearest directory above it that can be mounted."""
    scratch = f"{order.target}.making"
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    while mounting.unmount(scratch, MNT_DETACH):
        pass  # of an attempt that was killed
    above = order.path.rstrip("/")
    try:
        while above not in {"", "/"}:
            above = os.path.dirname(above)
            try:
                _mount_at(order, above, scratch)
            except MountFailed as error:
                if error.errno not in MISSING:
                    raise
            else:
                break
        else:
            raise missing
        try:
            _make_directories(scratch, os.path.relpath(order.path, above).split("/"))
        finally:
            mounting.unmount(scratch, MNT_DETACH)
    finally:
        os.rmdir(scratch)


def _make_directories(top: str, names: list[str]) -> None:
    """Make directories below one another, never through a symlink: it would lead to this host's own files."""
    current = os.open(top, DIRECTORY)
    try:
        for name in names:
            made = False
            try:
                os.mkdir(name, dir_fd=current)
                made = True
            except FileExistsError:
                pass  # also when another host has just made it
            below = os.open(name, DIRECTORY, dir_fd=current)
            os.close(current)
            current = below
            if made:
                os.fchmod(current, MADE_MODE)
                os.fsync(current)
    finally:
        os.close(current)


if __name__ == "__main__":
    trouble.on_export()
    children.answer(int(sys.argv[1]), handle)
