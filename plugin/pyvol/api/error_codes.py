"""The HTTP status of the control API, and the exit code of the command (sysexits(3)), for each error code.

Docker's verbs answer HTTP 500 to every error (engine fact 15). docs/errors.md explains each code.
"""

import os
from typing import NamedTuple

from pyvol.core import errors


class Row(NamedTuple):
    """What an error becomes."""

    status: int
    exit_code: int


TABLE = {
    errors.PyvolError.code: Row(500, 1),
    errors.BadRequest.code: Row(400, 2),
    errors.EmptyBody.code: Row(400, 2),
    errors.BadName.code: Row(400, 2),
    errors.BadOption.code: Row(400, 2),
    errors.OptionHelp.code: Row(400, 2),
    errors.NotFound.code: Row(404, 3),
    errors.NoSuchVolume.code: Row(404, 3),
    errors.NoSuchTrash.code: Row(404, 3),
    errors.Conflict.code: Row(409, 4),
    errors.VolumeExists.code: Row(409, 4),
    errors.VolumeInUse.code: Row(409, 4),
    errors.VolumeProtected.code: Row(409, 4),
    errors.Busy.code: Row(503, os.EX_TEMPFAIL),
    errors.StorageFailed.code: Row(500, 1),
    errors.NameTaken.code: Row(500, 1),
    errors.ServerDown.code: Row(500, 1),
    errors.CatalogFailed.code: Row(500, 1),
    errors.BadSetting.code: Row(500, os.EX_CONFIG),
    errors.Unreachable.code: Row(503, os.EX_UNAVAILABLE),
    errors.DaemonUnreachable.code: Row(503, os.EX_UNAVAILABLE),
    errors.EngineUnreachable.code: Row(503, os.EX_UNAVAILABLE),
    errors.EngineRefused.code: Row(500, 1),
    errors.InternalError.code: Row(500, 1),
}


def row(error: errors.PyvolError) -> Row:
    """Return what an error becomes; a code of a newer daemon is a plain failure."""
    return TABLE.get(error.code, TABLE[errors.PyvolError.code])
