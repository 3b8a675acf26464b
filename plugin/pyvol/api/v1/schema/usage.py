"""Messages about the disk usage of volumes."""

from datetime import datetime

import msgspec


class UsageInfo(msgspec.Struct, frozen=True):
    """The disk usage of one volume when pyvol counted it.

    Attributes:
        bytes: its blocks on the disk: holes in files do not count, and a file with several names counts once.
        files: everything except directories.
        counted: when pyvol counted.
        problem: which files pyvol could not count; if it is not empty, there may be more bytes.
    """

    bytes: int
    files: int
    counted: datetime
    problem: str = ""


class CountRequest(msgspec.Struct):
    """`POST /v1/usage`: the volumes to count; none: all."""

    names: list[str] = []
