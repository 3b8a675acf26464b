"""Messages about what volumes take on their disks."""

from datetime import datetime

import msgspec


class UsageInfo(msgspec.Struct, frozen=True):
    """What one volume took when pyvol counted it.

    Attributes:
        bytes: blocks on the disk; a hole in a file takes nothing, and a file with several names counts once.
        files: everything except directories.
        counted: when.
        problem: which files pyvol could not count; if it is not empty, there may be more bytes.
    """

    bytes: int
    files: int
    counted: datetime
    problem: str = ""


class CountRequest(msgspec.Struct):
    """`POST /v1/usage`: the volumes to count; none: all."""

    names: list[str] = []
