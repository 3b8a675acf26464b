"""A volume, what the user asked for, where it is in its lifecycle, and who has claimed it."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from pyvol.core.errors import BadName
from pyvol.core.model.labels import Labels
from pyvol.core.model.units import format_bytes

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}", re.ASCII)
ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
ANONYMOUS = re.compile(r"[0-9a-f]{64}", re.ASCII)
DEFAULT_POOL = "default"
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time that another program wrote; a time without a zone is an error."""


class OnRemove(StrEnum):
    """What removing a volume does."""

    TRASH = "trash"
    """Move it to the trash, until it expires."""
    DELETE = "delete"
    """Delete it permanently, in the background."""
    KEEP = "keep"
    """Move it to the trash, without a limit."""


class Access(StrEnum):
    """How many hosts may mount a volume of a shared pool at a time."""

    SHARED = "shared"
    EXCLUSIVE = "exclusive"


class MountType(StrEnum):
    """The values of `type=`: the types of Docker's own local driver that pyvol mounts."""

    NFS = "nfs"
    NFS4 = "nfs4"
    TMPFS = "tmpfs"
    NONE = "none"


class Phase(StrEnum):
    """Where a volume is in its lifecycle.

    Every change is one rename on disk, followed by one commit of the catalog. After a crash the disk shows
    how far the change came, and `pyvol.core.lifecycle.reconcile` updates the catalog.
    """

    READY = "ready"
    """In `volumes/<name>`."""
    TRASHED = "trashed"
    """In `trash/<id>`; it no longer holds its name."""
    UNREADABLE = "unreadable"
    """In `volumes/<name>`, with an unreadable volume.json: it is listed, and mounted once that is fixed."""


class VolumeSpec(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the user asked for, normalised: numbers for users, a resolved path.

    With a `type` it is a mounted volume: pyvol calls mount(8) for it, with the device and the options `o`.
    """

    pool: str = DEFAULT_POOL
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    path: str | None = None
    on_remove: OnRemove = OnRemove.TRASH
    protect: bool = False
    type: MountType | None = None
    device: str | None = None
    o: str | None = None
    create: bool = True
    subdir: str | None = None
    access: Access = Access.SHARED

    @property
    def keeps_data(self) -> bool:
        """Whether the volume's data moves with its record, into the trash and out of it."""
        return self.path is None and self.type is None and self.subdir is None


class Volume(msgspec.Struct, frozen=True, gc=False):
    """One volume, live or in the trash.

    Attributes:
        id: sixteen hex digits, which never change; the name of its directory while it is in the trash.
        name: its name in the engine.
        spec: what the user asked for.
        created: aware, UTC, whole seconds.
        phase: see `Phase`.
        removed: when it was removed, to the microsecond, while in the trash.
        until: when the trash deletes it; None for never.
        former: its earlier names.
        labels: the labels that `pyvol set` wrote, sorted by key.
    """

    id: str
    name: str
    spec: VolumeSpec
    created: datetime
    phase: Phase
    removed: datetime | None = None
    until: datetime | None = None
    former: tuple[str, ...] = ()
    labels: Labels = ()


class Claim(msgspec.Struct, frozen=True, gc=False):
    """Outstanding Mounts of one volume under one of the engine's mount IDs (engine facts 7 and 8)."""

    volume: str
    mount_id: str
    generation: int
    count: int
    since: datetime


class Space(msgspec.Struct, frozen=True):
    """Room on a pool's file system, in bytes."""

    total_bytes: int
    free_bytes: int

    @property
    def free_percent(self) -> float:
        """The free part, in percent; 100 if the file system does not report its size."""
        return 100 * self.free_bytes / self.total_bytes if self.total_bytes else 100.0

    @property
    def summary(self) -> str:
        """The free space, for people."""
        return f"{format_bytes(self.free_bytes)} of {format_bytes(self.total_bytes)} free"


class MountUser(msgspec.Struct, frozen=True):
    """A process whose mount namespace has a volume mounted."""

    pid: int
    command: str
    mountpoint: str


def in_pool(volume: Volume, pool: str) -> Volume:
    """Return a volume from a pool with this host's name for the pool; other hosts may use another name."""
    return msgspec.structs.replace(volume, spec=msgspec.structs.replace(volume.spec, pool=pool))


def check_name(name: str) -> str:
    """Return the name, or raise `BadName`: the engine checks no names (engine fact 6)."""
    if not NAME.fullmatch(name):
        shown = name if len(name) <= 60 else name[:60] + "…"  # noqa: PLR2004  # as much as a terminal line shows well
        raise BadName(
            f"{shown!r} is not a volume name",
            hint="use up to 200 letters, digits, '_', '.' and '-', and begin with a letter or a digit",
        )
    return name
