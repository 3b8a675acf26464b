"""Messages of the doctor."""

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One thing that the doctor looked at; `hint` says what to do if it is not well."""

    check: str
    well: bool
    summary: str
    hint: str = ""
