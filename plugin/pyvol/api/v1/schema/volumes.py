"""Messages about volumes and their claims."""

from datetime import datetime

import msgspec

from pyvol.api.v1.schema.usage import UsageInfo


class VolumeInfo(msgspec.Struct):
    """A volume.

    Attributes:
        shared: other hosts have the volume too.
        refusal: why a removal that can be undone would be refused now: the volume is protected or claimed.
            Empty if nothing that pyvol knows without touching storage forbids it.
    """

    name: str
    id: str
    pool: str
    mountpoint: str
    created: datetime
    options: dict[str, str]
    claims: int
    health: str
    on_remove: str
    shared: bool = False
    usage: UsageInfo | None = None
    labels: dict[str, str] = {}
    refusal: str = ""


class ClaimInfo(msgspec.Struct):
    """A claim: outstanding Mounts under one ID. Stale: the engine made it before it was restarted.

    A claim of another host has that host's name, and no ID: only that host knows the ID.
    """

    volume: str
    mount_id: str
    count: int
    generation: int
    stale: bool
    since: datetime
    host: str = ""


class NotAsked(msgspec.Struct):
    """A shared pool whose server could not be asked, and why.

    The claims of other hosts on its volumes are not known.
    """

    pool: str
    reason: str


class Claims(msgspec.Struct):
    """Reply to `GET /v1/claims`: the known claims, and the pools that could not be asked for theirs."""

    claims: list[ClaimInfo]
    not_asked: list[NotAsked]


class SetOptions(msgspec.Struct):
    """`POST /v1/volumes/NAME/set`: the options and labels to change; null removes a label."""

    options: dict[str, str] = {}
    labels: dict[str, str | None] = {}


class Rename(msgspec.Struct):
    """`POST /v1/volumes/NAME/rename`."""

    new_name: str


class Compare(msgspec.Struct):
    """`POST /v1/volumes/NAME/compare`: the options to compare.

    With null, pyvol only looks whether the volume exists.
    """

    options: dict[str, str] | None = None


class Difference(msgspec.Struct, frozen=True):
    """An option whose value in the volume is not the requested one; null: the option is not set."""

    option: str
    held: str | None
    asked: str | None
    mutable: bool


class Comparison(msgspec.Struct, frozen=True):
    """The reply to `POST /v1/volumes/NAME/compare`.

    Attributes:
        exists: whether there is a volume of that name.
        now: the current name of a renamed volume.
        problem: why pyvol would refuse the options; then it compares nothing.
        differences: the options that differ.
    """

    exists: bool
    now: str = ""
    problem: str = ""
    differences: tuple[Difference, ...] = ()
