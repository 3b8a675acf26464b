"""What a daemon asks a worker process to do with a pool on a server, and what the worker answers."""

from datetime import datetime
from enum import StrEnum

import msgspec

from pyvol.core.model.volume import Volume
from pyvol.storage.remote.failures import Failure
from pyvol.storage.remote.mount_messages import OnMount


class Place(msgspec.Struct, frozen=True):
    """A pool on an export: its name, where it is mounted, and the name of this host."""

    name: str
    root: str
    host: str


class PreparePool(msgspec.Struct, frozen=True, tag=True):
    """Create the pool's directories if `is_new`. Returns the pool's id; empty if it has no directories."""

    place: Place
    is_new: bool


class ReadStamp(msgspec.Struct, frozen=True, tag=True):
    """Ask when the pool was last changed. Returns numbers that differ after each change."""

    place: Place


class CreateVolume(msgspec.Struct, frozen=True, tag=True):
    """Create a volume's directory. Returns nothing."""

    place: Place
    volume: Volume


class WriteManifest(msgspec.Struct, frozen=True, tag=True):
    """Write a volume's manifest. Returns nothing."""

    place: Place
    volume: Volume


class LockNeed(StrEnum):
    """What `AttachVolume` does about the volume's lock."""

    NONE = "none"
    """Nothing: the daemon knows that its lock is held, or continues without it."""
    VERIFY = "verify"
    """Lock the files that come with the message once more: the server may have freed them."""
    TAKE = "take"
    """Lock the volume, and return the open files."""


class AttachVolume(msgspec.Struct, frozen=True, tag=True):
    """Compare a volume with its manifest, see to its lock, set its owner and mode. Returns `AttachReply`."""

    place: Place
    volume: Volume
    since: datetime
    lock: LockNeed


class Relocked(msgspec.Struct, frozen=True, tag=True):
    """What became of a volume's lock.

    Attributes:
        is_held: this host has it.
        is_signed: the file that names this host is locked too.
        has_expired: the server had freed the lock in the meantime.
    """

    is_held: bool
    is_signed: bool
    has_expired: bool = False


class Attached(msgspec.Struct, frozen=True, tag=True):
    """The volume can be used.

    Attributes:
        path: the directory that a container sees.
        relocked: what became of the lock that was verified.
        not_locked: why the volume is not locked, if its lock only informs other hosts.
    """

    path: str
    relocked: Relocked | None = None
    not_locked: str = ""


class Changed(msgspec.Struct, frozen=True, tag=True):
    """Nothing was done: the name has another volume, or its manifest is not what the daemon knows."""

    current: Volume


class LockLost(msgspec.Struct, frozen=True, tag=True):
    """Nothing was done: the lock that was to be verified is not held any more."""


class AttachReply(msgspec.Struct, frozen=True):
    """The answer to `AttachVolume`."""

    result: Attached | Changed | LockLost


class RemoveVolume(msgspec.Struct, frozen=True, tag=True):
    """Lock a volume, compare it with its manifest, move it to the trash or out, and unlock it.

    Returns `RemoveReply`.

    Attributes:
        trashed: the volume as it is in the trash; None if it is permanently deleted.
    """

    place: Place
    volume: Volume
    trashed: Volume | None


class Destination(StrEnum):
    """Where the directory of a removed volume went; nowhere if it had none."""

    TRASH = "trash"
    DELETION = "deletion"
    NOWHERE = "nowhere"


class Removed(msgspec.Struct, frozen=True, tag=True):
    """The volume is removed."""

    destination: Destination


class RemoveReply(msgspec.Struct, frozen=True):
    """The answer to `RemoveVolume`."""

    result: Removed | Changed


class UndoRemoval(msgspec.Struct, frozen=True, tag=True):
    """Move a volume that `RemoveVolume` moved to the trash back. Returns nothing."""

    place: Place
    volume: Volume


class StageDeletion(msgspec.Struct, frozen=True, tag=True):
    """Move a volume's directory to where it waits for its deletion. Returns its `Destination`."""

    place: Place
    volume: Volume


class UndoDeletion(msgspec.Struct, frozen=True, tag=True):
    """Move a directory that waits for its deletion back to where it was. Returns nothing."""

    place: Place
    volume: Volume


class Undelete(msgspec.Struct, frozen=True, tag=True):
    """Move a removed volume back from the trash. Returns the volume as it was in the trash."""

    place: Place
    volume: Volume


class UndoUndelete(msgspec.Struct, frozen=True, tag=True):
    """Move an undeleted volume back into the trash. Returns nothing."""

    place: Place
    trashed: Volume


class HasVolume(msgspec.Struct, frozen=True, tag=True):
    """Ask whether a volume's directory exists."""

    place: Place
    volume: Volume


class ListPool(msgspec.Struct, frozen=True, tag=True):
    """Ask for the names of a pool's directories. Returns a `PoolListing`."""

    place: Place


class ListPendingDeletion(msgspec.Struct, frozen=True, tag=True):
    """Ask for the ids that wait for their deletion."""

    place: Place


class ReadVolume(msgspec.Struct, frozen=True, tag=True):
    """Read the manifest of the volume with a name."""

    place: Place
    name: str


class ReadTrashed(msgspec.Struct, frozen=True, tag=True):
    """Read the manifest of the removed volume with an id."""

    place: Place
    volume_id: str


class ClearUnfinished(msgspec.Struct, frozen=True, tag=True):
    """Delete what a crash left half-made a day ago or earlier. Returns how many directories that were."""

    place: Place


class PurgeDeleted(msgspec.Struct, frozen=True, tag=True):
    """Permanently delete a directory that waits for it. Returns nothing."""

    place: Place
    volume_id: str


class MeasureSpace(msgspec.Struct, frozen=True, tag=True):
    """Ask for the size and the free space of a pool's file system. Returns a `Space`."""

    place: Place


class LockVolume(msgspec.Struct, frozen=True, tag=True):
    """Lock a volume for this host. Returns nothing, and the open files that have the lock."""

    place: Place
    volume: Volume
    since: datetime


class VerifyLock(msgspec.Struct, frozen=True, tag=True):
    """Lock the files that come with the message once more, for a lease may have ended. Returns `Relocked`."""

    volume: Volume


class SignLock(msgspec.Struct, frozen=True, tag=True):
    """Write again which host has a volume. Returns nothing, and the open file."""

    place: Place
    volume: Volume
    since: datetime


class UnlockVolume(msgspec.Struct, frozen=True, tag=True):
    """Unlock a volume, by closing the files that come with the message. Returns nothing."""

    place: Place
    volume: Volume


class ListHolders(msgspec.Struct, frozen=True, tag=True):
    """Ask which other hosts hold volumes. Returns a list of `Holder`, with ids as names."""

    place: Place


class Reply(msgspec.Struct, frozen=True):
    """The answer to a request."""

    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    failure: Failure | None = None


OnLock = LockVolume | VerifyLock | SignLock | UnlockVolume | ListHolders
OnVolume = (
    CreateVolume
    | WriteManifest
    | AttachVolume
    | RemoveVolume
    | UndoRemoval
    | StageDeletion
    | UndoDeletion
    | Undelete
    | UndoUndelete
    | HasVolume
    | ReadVolume
    | ReadTrashed
    | PurgeDeleted
)
OnPool = PreparePool | ReadStamp | ListPool | ListPendingDeletion | ClearUnfinished | MeasureSpace
Request = OnMount | OnPool | OnVolume | OnLock
