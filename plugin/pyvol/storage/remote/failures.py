"""An error as a message, from a worker process to the daemon: its fields, not its sentence."""

import msgspec

from pyvol.core.errors import BadOption, BadRequest, NameTaken, PyvolError, StorageFailed, VolumeInUse

BY_CODE = {kind.code: kind for kind in (BadOption, BadRequest, NameTaken, StorageFailed, VolumeInUse)}
"""The errors that a worker sends."""


class Failure(msgspec.Struct, frozen=True):
    """Why a request failed: the fields of the error, and the kernel's error number if there is one."""

    code: str
    what: str
    cause: str = ""
    hint: str = ""
    volume: str = ""
    pool: str = ""
    errno: int = 0


def failure_of(error: PyvolError) -> Failure:
    """Return an error as a message."""
    return Failure(error.code, error.what, error.cause, error.hint, error.volume, error.pool, error.errno)


def error_of(failure: Failure) -> PyvolError:
    """Return the error of a message; a `StorageFailed` for a code that a worker does not send."""
    kind = BY_CODE.get(failure.code, StorageFailed)
    error = kind(failure.what, failure.cause, failure.hint, volume=failure.volume, pool=failure.pool)
    if failure.errno:
        error.__cause__ = OSError(failure.errno, failure.what)
    return error
