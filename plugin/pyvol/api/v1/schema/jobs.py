"""Messages about jobs: work that takes longer than a request."""

from datetime import datetime
from enum import StrEnum

import msgspec

from pyvol.api.messages import Failure


class JobState(StrEnum):
    """Where a job is in its life. The last three are ends: nothing changes after them."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobInfo(msgspec.Struct, frozen=True):
    """A job.

    Attributes:
        id: the job's id; no other life of the daemon has it.
        what: what the job does: `adopt`, `empty trash` or `count usage`.
        volume: the volume that it is about; empty if it is about none, or about several.
        state: where it is.
        done: how much is done.
        of: how much there is, often an estimate; 0: not known yet.
        unit: what `done` and `of` count.
        doing: what the job is at, in a few words.
        created: when it was asked for.
        started: when it began to run.
        ended: when it ended.
        result: what it did; the message depends on `what`, and is null for a job that has none.
        error: why it failed or was cancelled.
    """

    id: str
    what: str
    volume: str
    state: JobState
    done: int
    of: int
    unit: str
    doing: str
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: Failure | None = None
