"""A volume's directory on its way: shown under a name where none is, and moved back when the catalog can't follow."""

import errno

from pyvol.core.errors import NameTaken
from pyvol.core.model import Volume
from pyvol.core.pool import Undo
from pyvol.host import durable
from pyvol.storage.trouble import told


def show(source: str, volume: Volume, volumes: str) -> None:
    """Give a whole directory its name among the volumes; raises `NameTaken`, and OSError where the disk fails."""
    target = f"{volumes}/{volume.name}"
    try:
        durable.move(source, target)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise NameTaken(
                f"volume {volume.name!r}: {target} exists, and the catalog does not know it: take it in with "
                "`pyvol adopt`, or move it away"
            ) from None
        raise


def moving_back(volume: Volume, source: str, target: str) -> Undo:
    """Return what moves a directory back to its source."""

    def undo() -> None:
        with told(f"volume {volume.name!r}", "put it back"):
            durable.move_back(source, target)

    return undo
