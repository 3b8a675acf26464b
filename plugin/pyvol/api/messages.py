"""Every request and reply, as types: this file is the protocol's documentation.

Docker's verbs are POSTs with a JSON body and no Content-Type (engine fact 3); their field names are Docker's. The
control API under `/v1/` is pyvol's own. Some of its replies are the core's own types: `core.plans.Plan`,
`core.comparison.Comparison`, `core.events.EventBatch`, `core.trash.Emptying`, `core.doctor.Finding`.
"""

from datetime import datetime

import msgspec

from pyvol.core.model.adoption import Copied, Kind, Plan
from pyvol.core.status.usage import Usage


class Implements(msgspec.Struct):
    """Reply to `Plugin.Activate`: what this plugin is."""

    Implements: tuple[str, ...] = ("VolumeDriver",)


class Capability(msgspec.Struct):
    """`local`: each host has its own volumes. `global`: all hosts see the same."""

    Scope: str


class Capabilities(msgspec.Struct):
    """Reply to `VolumeDriver.Capabilities`."""

    Capabilities: Capability


class Create(msgspec.Struct):
    """`VolumeDriver.Create`; `Opts` is null when there are none (engine fact 4)."""

    Name: str
    Opts: dict[str, str] | None = None


class Name(msgspec.Struct):
    """`VolumeDriver.Get`, `Path` and `Remove`."""

    Name: str


class Mount(msgspec.Struct):
    """`VolumeDriver.Mount` and `Unmount`; the ID is the engine's (engine facts 7, 8 and 16)."""

    Name: str
    ID: str = ""


class Done(msgspec.Struct):
    """Reply to `Create`, `Remove` and `Unmount`."""

    Err: str = ""


class Mounted(msgspec.Struct):
    """Reply to `Mount` and `Path`: an absolute path (engine fact 30)."""

    Mountpoint: str
    Err: str = ""


class Listed(msgspec.Struct):
    """A volume in the reply to `List`."""

    Name: str
    Mountpoint: str


class Volumes(msgspec.Struct):
    """Reply to `List`: no nulls, no duplicates (engine fact 31)."""

    Volumes: list[Listed]
    Err: str = ""


class Shown(msgspec.Struct):
    """A volume in the reply to `Get`; `CreatedAt` has a zone (engine fact 2)."""

    Name: str
    Mountpoint: str
    CreatedAt: datetime
    Status: dict[str, str]


class Got(msgspec.Struct):
    """Reply to `Get`."""

    Volume: Shown
    Err: str = ""


class Error(msgspec.Struct):
    """Every reply that is no success: one sentence (engine fact 15)."""

    Err: str


class Health(msgspec.Struct):
    """Reply to `GET /healthz`."""

    status: str = "ok"


class VolumeInfo(msgspec.Struct):
    """A volume, in replies of the control API.

    Attributes:
        shared: other hosts have the volume too.
        refusal: why a removal that can be undone would be refused now: the volume is protected or claimed. Empty if
            nothing that pyvol knows without touching storage forbids it.
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
    usage: Usage | None = None
    labels: dict[str, str] = {}
    refusal: str = ""


class ClaimInfo(msgspec.Struct):
    """A claim: outstanding Mounts under one ID. Stale: made in an earlier life of the engine.

    Another host's has that host's name, and no ID: only it knows those.
    """

    volume: str
    mount_id: str
    count: int
    generation: int
    stale: bool
    since: datetime
    host: str = ""


class NotAsked(msgspec.Struct):
    """A shared pool whose server could not be asked, and why: claims of other hosts on its volumes are not known."""

    pool: str
    reason: str


class Claims(msgspec.Struct):
    """Reply to `GET /v1/claims`: all claims that are known, and the pools of which other hosts' claims are not."""

    claims: list[ClaimInfo]
    not_asked: list[NotAsked]


class TrashInfo(msgspec.Struct):
    """A removed volume; `until` is null where the trash keeps it without a limit."""

    name: str
    id: str
    pool: str
    removed: datetime | None
    until: datetime | None
    usage: Usage | None = None


class EmptyTrash(msgspec.Struct):
    """`POST /v1/trash/empty`: these names or ids; or all that have a limit; or, with `kept_too`, all."""

    names: list[str] = []
    kept_too: bool = False


class Emptied(msgspec.Struct):
    """Reply to it: what is gone, and a sentence for each that could not go."""

    gone: list[TrashInfo]
    failed: list[str]


class Undelete(msgspec.Struct):
    """`POST /v1/undelete`: a name or an id, and the name it is to have."""

    name: str
    new_name: str | None = None


class SetOptions(msgspec.Struct):
    """`POST /v1/volumes/NAME/set`: the options to change, and the labels; null takes one away."""

    options: dict[str, str] = {}
    labels: dict[str, str | None] = {}


class Compare(msgspec.Struct):
    """`POST /v1/volumes/NAME/compare`: options to compare with the volume's; null: only look whether there is one."""

    options: dict[str, str] | None = None


class Rename(msgspec.Struct):
    """`POST /v1/volumes/NAME/rename`."""

    new_name: str


class Adopt(msgspec.Struct):
    """`POST /v1/adopt`: what is to become a volume; with `dry_run` only the plan is made."""

    name: str
    kind: Kind
    options: dict[str, str] = {}
    source: str = ""
    dry_run: bool = False


class Adoptable(msgspec.Struct):
    """Reply to `GET /v1/adopt`: directories of the pools that are in no catalog, and the copies under way."""

    strays: list[Plan]
    copies: list[Copied]


class CountNow(msgspec.Struct):
    """`POST /v1/usage`: these volumes, or all."""

    names: list[str] = []


class Counting(msgspec.Struct):
    """What is being counted now, and how many volumes that were asked for still wait."""

    waiting: int
    volume: str = ""
    bytes: int = 0
    files: int = 0
