"""The kinds of events: what can happen to a volume."""

from enum import StrEnum


class EventKind(StrEnum):
    """What happened to a volume; the values are the stable names in the API."""

    CREATED = "created"
    ADOPTED = "adopted"
    CHANGED = "changed"
    RENAMED = "renamed"
    MOUNTED = "mounted"
    UNMOUNTED = "unmounted"
    REMOVED = "removed"
    """Moved to the trash, or deleted at once; then the fact `permanent` is true."""
    UNDELETED = "undeleted"
    DELETED = "deleted"
    """Deleted from the trash."""
    FAILED = "failed"
    """A request for the volume failed or was refused, or the volume could not be unmounted."""
    LOCK_LOST = "lock_lost"
    """The server dropped the lock that this host held; another host may have had the volume since."""
