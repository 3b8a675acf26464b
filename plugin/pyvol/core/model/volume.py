"""The words of the house as types: a volume, what was asked for, where it is in its life, who has claimed it."""

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
"""A time that others wrote down: one without a zone is refused."""


class OnRemove(StrEnum):
    """What removing a volume does."""

    TRASH = "trash"
    """Into the trash, until its time is over."""
    DELETE = "delete"
    """For good, in the background."""
    KEEP = "keep"
    """Into the trash, without a limit."""


class Access(StrEnum):
    """How many hosts may mount a volume of a shared pool at a time."""

    SHARED = "shared"
    EXCLUSIVE = "exclusive"


class MountType(StrEnum):
    """What `type=` takes: those of Docker's own local driver that pyvol mounts."""

    NFS = "nfs"
    NFS4 = "nfs4"
    TMPFS = "tmpfs"
    NONE = "none"


class Phase(StrEnum):
    """Where a volume is in its life.

    Every act on disk is one rename, and one commit of the catalog follows it; so after a crash the disk says how far
    the act came, and `pyvol.core.lifecycle.reconcile` lets the catalog follow.
    """

    READY = "ready"
    """In `volumes/<name>`."""
    TRASHED = "trashed"
    """In `trash/<id>`; it no longer holds its name."""
    UNREADABLE = "unreadable"
    """In `volumes/<name>`, with a descriptor that can't be read: shown, and not mounted, until that is mended."""


class VolumeSpec(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the user asked for, normalised: numbers for users, a resolved path.

    With a `type` it is a mounted volume: one mount(8) of its own, of `device` with the options `o`.
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
        """Whether the volume's data goes where its record goes, into the trash and out of it."""
        return self.path is None and self.type is None and self.subdir is None


class Volume(msgspec.Struct, frozen=True, gc=False):
    """One volume, live or in the trash.

    Attributes:
        id: sixteen hex digits, for life; its directory's name while it is in the trash.
        name: what the engine calls it.
        spec: what the user asked for.
        created: aware, UTC, whole seconds.
        phase: see `Phase`.
        removed: when it was removed, to the microsecond, while in the trash.
        until: when the trash lets go of it; None: never.
        former: the names that it had before.
        labels: those that `pyvol set` wrote, by key.
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
        """How much of the whole is free, in percent; all of it where the file system does not tell its size."""
        return 100 * self.free_bytes / self.total_bytes if self.total_bytes else 100.0

    @property
    def summary(self) -> str:
        """How much is free, for people."""
        return f"{format_bytes(self.free_bytes)} of {format_bytes(self.total_bytes)} free"


class MountUser(msgspec.Struct, frozen=True):
    """A process whose mount namespace has a volume mounted."""

    pid: int
    command: str
    mountpoint: str


def in_pool(volume: Volume, pool: str) -> Volume:
    """Return a volume that was read from a pool; the host that wrote it there may call the pool something else."""
    return msgspec.structs.replace(volume, spec=msgspec.structs.replace(volume.spec, pool=pool))


def check_name(name: str) -> str:
    """Return the name, or raise `BadName`: the engine checks none of them (engine fact 6)."""
    if not NAME.fullmatch(name):
        shown = name if len(name) <= 60 else name[:60] + "…"  # noqa: PLR2004  # as much as a terminal line shows well
        raise BadName(
            f"{shown!r} is no volume name: use up to 200 letters, digits, '_', '.' and '-', "
            "the first of them a letter or a digit"
        )
    return name
