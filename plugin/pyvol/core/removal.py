"""What a removal does to a volume: what the options ask for, and the sentence that says so."""

from datetime import timedelta

from pyvol.core.model import ANONYMOUS, OnRemove, Phase, Volume, VolumeSpec
from pyvol.core.sizes import format_duration


def goes_for_good(volume: Volume) -> bool:
    """Tell whether nothing of the volume is kept; true also of an anonymous one, which nobody could ask back."""
    if volume.phase is Phase.UNREADABLE:
        return False  # what was asked for it is not known
    plain = volume.spec == VolumeSpec(pool=volume.spec.pool)
    anonymous = ANONYMOUS.fullmatch(volume.name) is not None and plain
    return anonymous or volume.spec.on_remove is OnRemove.DELETE


def says(volume: Volume, trash_keep: timedelta) -> str:
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
