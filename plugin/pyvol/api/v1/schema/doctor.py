"""Messages of the doctor."""

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One thing that the doctor looked at; `hint` says how to fix it."""

    check: str
    well: bool
    summary: str
    hint: str = ""
