"""Messages about events."""

from datetime import datetime

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Something that happened to a volume. Each life of the daemon numbers its events from 1."""

    number: int
    at: datetime
    event: str
    volume: str
    facts: dict[str, str]


class EventBatch(msgspec.Struct, frozen=True):
    """The reply to `GET /v1/events`: what happened after a number.

    Attributes:
        life: the life of the daemon; after a restart it is another word, and the numbers begin again.
        last: the number for the next request.
        events: the oldest first.
        missed: how many more events there were that pyvol no longer remembers.
        waited: whether the request could wait; if it could not, ask again after a while.
    """

    life: str
    last: int
    events: list[Event]
    missed: int
    waited: bool
