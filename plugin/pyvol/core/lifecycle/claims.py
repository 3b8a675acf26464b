"""What a Mount and an Unmount do to a claim: the engines' bookkeeping, as pure functions.

Engines repeat mount IDs (`docker cp` uses the running container's own, engine fact 7), lose Unmounts when they are
killed (fact 8), and send Unmounts for mounts of an earlier life (fact 9). So a claim counts per ID, and knows the
engine's life, the *generation*, in which it was made.
"""

from datetime import datetime

import msgspec

from pyvol.core.errors import BadRequest
from pyvol.core.model.volume import Claim

MAX_MOUNT_ID = 256
"""Docker's IDs have 64 characters; Podman's constant is one UUID."""


def check_mount_id(name: str, mount_id: str) -> None:
    """See that a mount ID can be one; raises `BadRequest` with the volume's name."""
    if not 0 < len(mount_id) <= MAX_MOUNT_ID:
        raise BadRequest(
            f"volume {name!r}: the request has no mount ID of 1 to {MAX_MOUNT_ID} characters; an engine sends one"
        )


def after_mount(claim: Claim | None, volume: str, mount_id: str, generation: int, now: datetime) -> Claim:
    """Return the claim after one more Mount.

    In the same generation the count grows; a Mount of a new generation replaces the same ID's older claim, because the
    engine that made it is dead and will send one Unmount for both.
    """
    if claim is not None and claim.generation == generation:
        return msgspec.structs.replace(claim, count=claim.count + 1)
    return Claim(volume=volume, mount_id=mount_id, generation=generation, count=1, since=now)


def after_unmount(claim: Claim | None, generation: int) -> Claim | None:
    """Return the claim after one Unmount; None when nothing is left of it.

    A claim of an older generation goes whole: whatever it counted, one container is all that outlived that engine.
    An Unmount without a claim is a success (fact 9).
    """
    if claim is None or claim.generation != generation or claim.count == 1:
        return None
    return msgspec.structs.replace(claim, count=claim.count - 1)
