"""Which pool an export has: an id on the share, and this host's record of it.

<root>/pyvol.pool                  created with the pool; a copy of the pool has it too
<state dir>/pyvol.pool-<name>      the id that this host has found on the share

A server whose disk is not mounted, and a name that leads to another server, show another pool, which has none
of the known volumes. These volumes are not gone.
"""

import errno
import os
import secrets
from contextlib import suppress

from pyvol.core.errors import StorageFailed
from pyvol.core.ports.host import Log
from pyvol.host.files import durable
from pyvol.storage.local.records import read_bytes

FILE = "pyvol.pool"
UNNAMED = "unnamed"
"""The id of a pool whose root cannot be written, or is full. It is not recorded."""
UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""The errors of link(2) on a file system without hard links.

After any other error nothing is known of the target.
"""


def identify(root: str) -> str:
    """Return the id of the pool in a directory, and create it if it has none. Raises OSError.

    If several hosts create one at the same time, one of them succeeds and all return its id.
    """
    path = f"{root}/{FILE}"
    with suppress(FileNotFoundError):
        return _text(read_bytes(path))
    made = f"{path}-{secrets.token_hex(8)}"
    try:
        durable.write_new(made, secrets.token_hex(8).encode() + b"\n")
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        with suppress(OSError):
            os.unlink(made)  # on a full disk it exists, and is empty
        return UNNAMED
    try:
        os.link(made, path)
    except FileExistsError:  # another host was first
        os.unlink(made)
    except OSError as error:
        if error.errno not in NO_LINKS:
            with suppress(OSError):
                os.unlink(made)
            raise
        os.rename(made, path)
    else:
        os.unlink(made)
    durable.sync_directory(root)
    return _text(read_bytes(path))


class KnownPoolId:
    """This host's record of one pool.

    Args:
        path: the file.
        log: the log.
    """

    def __init__(self, path: str, log: Log) -> None:
        self.path = path
        self._log = log

    def read(self) -> str:
        """Return the id, or an empty string if none is recorded.

        Raises:
            StorageFailed: the file exists and cannot be read, so any pool could be the wrong one.
        """
        try:
            content = read_bytes(self.path)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise self._unreadable(str(error.strerror)) from error
        if not content:  # an empty id is written as an empty line
            raise self._unreadable("it is empty")
        return _text(content)

    def write(self, pool_id: str) -> None:
        """Record the id. A disk that refuses that is reported, and the pool can be used all the same."""
        try:
            durable.replace(self.path, pool_id.encode() + b"\n")
        except OSError as error:
            self._log.warning("the id of a pool is not recorded", file=self.path, error=str(error))

    def _unreadable(self, cause: str) -> StorageFailed:
        return StorageFailed(
            f"the file {self.path}, which records the pool's id, cannot be read",
            cause,
            "make it readable; or delete it, and this host accepts the pool that the server shows",
        )


def _text(content: bytes) -> str:
    return content.decode(errors="backslashreplace").strip()
