"""What happened to volumes, for who follows it: read off the journal, kept for a while, told to who waits.

The journal gets each of it already, in a few words with its facts; here some of these words become events.
"""

import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from pyvol.core.model.text import escape_control_chars
from pyvol.core.ports.host import Clock, Log

KEPT = 1000
"""How many events are remembered: some 300 KiB, and an engine's start with hundreds of containers."""
WAITING = 8
"""How many followers wait at a time. Each holds a thread of the 128; the others are answered at once, and ask again."""
LONGEST_WAIT_S = 20.0
LONGEST_FACT = 500
"""In characters: a request can be a megabyte, and what is remembered stays small."""

KINDS = {
    "volume created": "created",
    "volume adopted": "adopted",
    "volume changed": "changed",
    "volume renamed": "renamed",
    "volume mounted": "mounted",
    "volume unmounted": "unmounted",
    "volume removed into the trash": "removed",
    "volume removed for good": "removed",
    "volume undeleted": "undeleted",
    "removed volume deleted for good": "deleted",
    "request failed": "failed",
    "request refused": "failed",
    "request failed unforeseen": "failed",
    "job failed": "failed",
    "job failed unexpectedly": "failed",
    "volume not detached": "failed",
    "lock was lost": "failed",
}
"""What the journal calls it, and what followers do. Lines about no volume are no events."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to a volume; numbers grow by one in a life of the daemon."""

    number: int
    at: datetime
    event: str
    volume: str
    facts: dict[str, str]


class EventBatch(msgspec.Struct, frozen=True):
    """What happened after a number.

    Attributes:
        life: a daemon that was started anew has another, and counts from the beginning.
        last: the number to ask with next time.
        events: the oldest first.
        missed: how many more there were that are remembered no longer.
        waited: whether there was a place to wait in; who got none asks again after a while.
    """

    life: str
    last: int
    events: Sequence[Event]
    missed: int
    waited: bool


class Events:
    """The latest events.

    Args:
        clock: the time.
        life: a word that no other life of the daemon has.
    """

    def __init__(self, clock: Clock, life: str) -> None:
        self._clock = clock
        self._life = life
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._last = 0
        self._ended = False
        self._changed = threading.Condition()
        self._places = threading.BoundedSemaphore(WAITING)

    def add(self, event: str, volume: str, facts: dict[str, str]) -> None:
        """Remember an event, and wake who waits."""
        with self._changed:
            self._last += 1
            self._kept.append(Event(self._last, self._clock(), event, volume, facts))
            self._changed.notify_all()

    def after(self, number: int, life: str, wait_s: float) -> EventBatch:
        """Return what happened since; waits for it when there is nothing yet.

        Args:
            number: that of the last event that is known; -1 for what is to come from now on.
            life: in which it was; in another one all that is remembered is news.
            wait_s: for how long at most.
        """
        with self._changed:
            known = self._last if number < 0 else number
        if life and life != self._life:
            known = 0
        waited = wait_s > 0 and self._wait(known, min(wait_s, LONGEST_WAIT_S))
        with self._changed:
            events = [event for event in self._kept if event.number > known]
            return EventBatch(self._life, self._last, events, max(self._last - known - len(events), 0), waited)

    def _wait(self, known: int, wait_s: float) -> bool:
        """Wait for an event after a number; tell whether there was a place to wait in."""
        if not self._places.acquire(blocking=False):
            return False
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._last > known, wait_s)
        finally:
            self._places.release()
        return True

    def end(self) -> None:
        """Answer who waits: the daemon stops."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class EventLog:
    """A journal that makes events of what is written into it. Implements `pyvol.core.ports.host.Log`.

    Args:
        log: where it is written.
        events: where it is told.
    """

    def __init__(self, log: Log, events: Events) -> None:
        self._log = log
        self._events = events

    def debug(self, event: str, **facts: Any) -> None:
        """See `pyvol.core.ports.host.Log`."""
        self._log.debug(event, **facts)
        self._tell(event, facts)

    def info(self, event: str, **facts: Any) -> None:
        """See `pyvol.core.ports.host.Log`."""
        self._log.info(event, **facts)
        self._tell(event, facts)

    def warning(self, event: str, *, exc_info: BaseException | None = None, **facts: Any) -> None:
        """See `pyvol.core.ports.host.Log`."""
        self._log.warning(event, exc_info=exc_info, **facts)
        self._tell(event, facts)

    def _tell(self, event: str, facts: dict[str, Any]) -> None:
        kind, volume = KINDS.get(event), facts.get("volume")
        if kind is not None and volume:
            told = {key: _text(fact) for key, fact in facts.items() if key != "volume" and fact not in (None, {}, "")}
            self._events.add(kind, volume, told)


def _text(fact: object) -> str:
    if isinstance(fact, dict):
        text = " ".join(f"{key}={value}" for key, value in fact.items())
    else:
        text = fact.isoformat() if isinstance(fact, datetime) else str(fact)
    return escape_control_chars(text if len(text) <= LONGEST_FACT else f"{text[:LONGEST_FACT]}…")
