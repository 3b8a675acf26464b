"""The records in a volume's directory.

Any process may have written them, so they are checked when they are read.
"""

import errno
import os
import stat
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import Phase, Volume
from pyvol.host.files import directories, durable
from pyvol.storage.layout import MANIFEST, REMOVAL
from pyvol.storage.local import manifest
from pyvol.storage.local.manifest import ManifestUnreadable
from pyvol.storage.os_errors import storage_errors

MAX_BYTES = 1 << 20
"""No manifest is nearly as long; a longer file would only use up memory."""


def read_live(place: str, name: str) -> Volume:
    """Return the volume of a name, whose directory this is; raises `StorageFailed` if it cannot be read."""
    return _read(place, "has no readable volume.json", name)


def _read(place: str, unreadable: str, name: str = "") -> Volume:
    with storage_errors(unreadable, volume=name):
        directories.check_real(place)
        content = read_bytes(f"{place}/{MANIFEST}")
    try:
        return manifest.decode(content)
    except ManifestUnreadable as error:
        raise StorageFailed(unreadable, f"{place}/{MANIFEST}: {error.cause}", error.hint, volume=name) from None


def read_trashed(place: str, volume_id: str, host: str) -> Volume:
    """Return the removed volume in a directory of the trash.

    If the directory has no record of the removal, `host` removed the volume.
    """
    volume = _read(place, f"entry {volume_id} of the trash has no readable volume.json")
    with storage_errors("in the trash cannot be read", volume=volume.name):
        changed = os.stat(place).st_mtime
        try:
            removal = manifest.decode_removal(read_bytes(f"{place}/{REMOVAL}"))
        except (ManifestUnreadable, FileNotFoundError):
            # In doubt it is kept without a limit, since the last change of its directory.
            removal = manifest.Removal(datetime.fromtimestamp(int(changed), UTC), None, host)
    return msgspec.structs.replace(
        volume, id=volume_id, phase=Phase.TRASHED, removed=removal.removed, until=removal.until
    )


def write_removal(place: str, volume: Volume, host: str) -> None:
    """Write until when a volume stays in the trash. The record keeps the host that removed it.

    Raises OSError.
    """
    with suppress(FileNotFoundError, ManifestUnreadable):
        host = manifest.decode_removal(read_bytes(f"{place}/{REMOVAL}")).host
    durable.replace(f"{place}/{REMOVAL}", manifest.encode_removal(volume, host))


def read_bytes(path: str) -> bytes:
    """Return the content of a short regular file. Follows no symlink. Raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.ENXIO, "not a regular file", path)
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return content
