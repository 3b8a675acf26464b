"""Moves of a volume's directory: published under a free name, and moved back if the catalog cannot follow."""

import errno
from contextlib import suppress

from pyvol.core.errors import NameTaken
from pyvol.core.model.volume import Volume
from pyvol.core.ports.pool import Rollback
from pyvol.host.files import durable
from pyvol.storage.layout import MANIFEST, REMOVAL
from pyvol.storage.local import records
from pyvol.storage.os_errors import storage_errors


def publish(source: str, volume: Volume, volumes: str) -> None:
    """Give a whole directory its name among the volumes.

    Raises `NameTaken`, and OSError if the disk fails.
    """
    target = f"{volumes}/{volume.name}"
    try:
        durable.move(source, target)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise NameTaken(
                "cannot be created",
                f"{target} exists and is not in the catalog",
                "add it with `pyvol adopt`, or move it away",
                volume=volume.name,
            ) from None
        raise


def restore_from_trash(trashed: str, volume: Volume, volumes: str) -> Rollback:
    """Publish an entry of the trash under its name; return what moves it back, with its records."""
    kept: dict[str, bytes] = {}
    for name in (MANIFEST, REMOVAL):
        with suppress(FileNotFoundError):
            kept[name] = records.read_bytes(f"{trashed}/{name}")
    publish(trashed, volume, volumes)

    def undo() -> None:
        with storage_errors("cannot be moved back to the trash", volume=volume.name):
            durable.move_back(trashed, f"{volumes}/{volume.name}")
        for name, content in kept.items():
            with suppress(OSError):  # the entry can be read without its records, and under its new name
                durable.replace(f"{trashed}/{name}", content)

    return undo


def undo_move(volume: Volume, source: str, target: str) -> Rollback:
    """Return what moves a directory back to its source."""

    def undo() -> None:
        with storage_errors("cannot be moved back", volume=volume.name):
            durable.move_back(source, target)

    return undo
