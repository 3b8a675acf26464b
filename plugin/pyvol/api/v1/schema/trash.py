"""Messages about removed volumes."""

from datetime import datetime

import msgspec

from pyvol.api.v1.schema.usage import UsageInfo


class TrashInfo(msgspec.Struct):
    """A removed volume; `until` is null if the trash keeps it without a limit."""

    name: str
    id: str
    pool: str
    removed: datetime | None
    until: datetime | None
    usage: UsageInfo | None = None


class EmptyTrash(msgspec.Struct):
    """`POST /v1/trash/empty`: these names or ids; or all that expire; or, with `kept_too`, all."""

    names: list[str] = []
    kept_too: bool = False


class Emptied(msgspec.Struct):
    """The result of an emptying: what is deleted, and a sentence for each volume that stays."""

    gone: list[TrashInfo]
    failed: list[str]


class Undelete(msgspec.Struct):
    """`POST /v1/undelete`: a name or an id, and a new name for the volume."""

    name: str
    new_name: str | None = None
