"""What a Mount and an Unmount do to a claim, as pure functions.

Engines repeat mount IDs (`docker cp` uses the running container's own, engine fact 7), lose Unmounts when
they are killed (fact 8), and send Unmounts for mounts from before their restart (fact 9). So a claim counts
per ID, and has the *generation* of the engine that made it: the number of its last start.
"""

from datetime import datetime

import msgspec

from pyvol.core.errors import BadRequest
from pyvol.core.model.volume import Claim

MAX_MOUNT_ID = 256
"""Docker's IDs have 64 characters; Podman's constant is one UUID."""


def check_mount_id(name: str, mount_id: str) -> None:
    """Raise `BadRequest`, with the volume's name, if a mount ID is not valid."""
    if not 0 < len(mount_id) <= MAX_MOUNT_ID:
        raise BadRequest(
            "cannot be mounted or unmounted",
            f"the request has no mount ID of 1 to {MAX_MOUNT_ID} characters, which every engine sends",
            volume=name,
        )


def after_mount(claim: Claim | None, volume: str, mount_id: str, generation: int, now: datetime) -> Claim:
    """Return the claim after one more Mount.

    In the same generation the count grows. A Mount of a new generation replaces the older claim of its ID:
    the engine that made that claim is dead, and the new one sends one Unmount for both.
    """
    if claim is not None and claim.generation == generation:
        return msgspec.structs.replace(claim, count=claim.count + 1)
    return Claim(volume=volume, mount_id=mount_id, generation=generation, count=1, since=now)


def after_unmount(claim: Claim | None, generation: int) -> Claim | None:
    """Return the claim after one Unmount, or None if nothing is left of it.

    Nothing is left of a claim of an older generation: whatever its count, only one container outlived that
    engine. An Unmount without a claim succeeds (fact 9).
    """
    if claim is None or claim.generation != generation or claim.count == 1:
        return None
    return msgspec.structs.replace(claim, count=claim.count - 1)
