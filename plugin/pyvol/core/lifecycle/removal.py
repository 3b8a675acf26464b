"""What a removal does to a volume, how a status describes that, and what forbids a removal."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from pyvol.core.errors import VolumeInUse, VolumeProtected
from pyvol.core.model.units import format_duration
from pyvol.core.model.volume import ANONYMOUS, Claim, MountUser, OnRemove, Phase, Volume, VolumeSpec


def is_permanent(volume: Volume) -> bool:
    """Return whether a removal keeps nothing of the volume.

    This is also true of an anonymous volume without options.
    """
    if volume.phase is Phase.UNREADABLE:
        return False  # its options are unknown
    plain = volume.spec == VolumeSpec(pool=volume.spec.pool)
    anonymous = ANONYMOUS.fullmatch(volume.name) is not None and plain
    return anonymous or volume.spec.on_remove is OnRemove.DELETE


def summary(volume: Volume, trash_keep: timedelta) -> str:
    """Return what a removal of the volume would do, for people."""
    if volume.spec.protect:
        return "refused: protect=true"
    if is_permanent(volume):
        return "deletes it permanently"
    kept = "moves it to the trash"
    if not volume.spec.keeps_data:
        kept = f"its {'path' if volume.spec.path else 'data'} stays, its record goes to the trash"
    if volume.spec.on_remove is OnRemove.KEEP:
        return f"{kept}, without a limit"
    return f"{kept}, for {format_duration(trash_keep)}"


def trashed(volume: Volume, now: datetime, trash_keep: timedelta) -> Volume:
    """Return the volume as it is in the trash.

    `now` has microseconds: an undelete takes the latest of several.
    """
    until = None if volume.spec.on_remove is OnRemove.KEEP else now + trash_keep
    return msgspec.structs.replace(volume, phase=Phase.TRASHED, removed=now, until=until)


def refuse_protected(volume: Volume) -> None:
    """Raise `VolumeProtected` if the options forbid a removal."""
    if volume.spec.protect:
        raise VolumeProtected(
            "cannot be removed",
            "it has protect=true",
            f"`pyvol set {volume.name} protect=false` allows it",
            volume=volume.name,
        )


def refuse_claimed(volume: Volume, held: Sequence[Claim], generation: int) -> None:
    """Raise `VolumeInUse` if the current engine has a claim on the volume."""
    if any(claim.generation == generation for claim in held):
        raise VolumeInUse(
            "cannot be removed",
            "an engine has it mounted",
            "stop its containers first; `pyvol claims` lists the mounts",
            volume=volume.name,
        )


def refuse_in_use(volume: Volume, users: Sequence[MountUser]) -> None:
    """Raise `VolumeInUse` if a process has the volume mounted, according to the kernel."""
    if users:
        shown = ", ".join(f"{user.command} (pid {user.pid}) at {user.mountpoint}" for user in users[:3])
        raise VolumeInUse(
            "cannot be removed", f"it is mounted by {shown}", "stop the container first", volume=volume.name
        )
