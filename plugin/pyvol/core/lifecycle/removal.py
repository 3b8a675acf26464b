"""What a removal does to a volume: what the options ask for, the sentence that says so, and what forbids it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from pyvol.core.errors import VolumeInUse, VolumeProtected
from pyvol.core.model.units import format_duration
from pyvol.core.model.volume import ANONYMOUS, Claim, MountUser, OnRemove, Phase, Volume, VolumeSpec


def goes_for_good(volume: Volume) -> bool:
    """Tell whether nothing of the volume is kept; true also of an anonymous one, which nobody could ask back."""
    if volume.phase is Phase.UNREADABLE:
        return False  # what was asked for it is not known
    plain = volume.spec == VolumeSpec(pool=volume.spec.pool)
    anonymous = ANONYMOUS.fullmatch(volume.name) is not None and plain
    return anonymous or volume.spec.on_remove is OnRemove.DELETE


def summary(volume: Volume, trash_keep: timedelta) -> str:
    """Return for people what removing the volume would do."""
    if volume.spec.protect:
        return "refused: protect=true"
    if goes_for_good(volume):
        return "deletes it for good"
    kept = "moves it to the trash"
    if not volume.spec.keeps_data:
        kept = f"its {'path' if volume.spec.path else 'data'} stays, its record goes to the trash"
    if volume.spec.on_remove is OnRemove.KEEP:
        return f"{kept}, without a limit"
    return f"{kept}, for {format_duration(trash_keep)}"


def trashed(volume: Volume, now: datetime, trash_keep: timedelta) -> Volume:
    """Return the volume as it is in the trash; `now` to the microsecond: undelete means the latest of several."""
    until = None if volume.spec.on_remove is OnRemove.KEEP else now + trash_keep
    return msgspec.structs.replace(volume, phase=Phase.TRASHED, removed=now, until=until)


def refuse_protected(volume: Volume) -> None:
    """Raise `VolumeProtected` where the options forbid the removal."""
    if volume.spec.protect:
        raise VolumeProtected(
            f"volume {volume.name!r} is protected and stays: `pyvol set {volume.name} protect=false` lifts that"
        )


def refuse_claimed(volume: Volume, held: Sequence[Claim], generation: int) -> None:
    """Raise `VolumeInUse` where the engine's current life holds the volume."""
    if any(claim.generation == generation for claim in held):
        raise VolumeInUse(f"volume {volume.name!r} is claimed and stays: stop its containers first, see `pyvol claims`")


def refuse_in_use(volume: Volume, users: Sequence[MountUser]) -> None:
    """Raise `VolumeInUse` where the kernel says that somebody has the volume mounted."""
    if users:
        shown = ", ".join(f"{user.command} (pid {user.pid}) at {user.mountpoint}" for user in users[:3])
        raise VolumeInUse(
            f"volume {volume.name!r} is in use and stays: it is mounted by {shown}; stop the container first"
        )
