"""The latest events: what happened to volumes. Clients follow them, and the log has a line for each.

The event is the fact. The words of its log line are in one table here, and no program reads them.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from pyvol.core.model.event_kind import EventKind
from pyvol.core.model.text import escape_control_chars
from pyvol.core.ports.host import Clock, Log

KEPT = 1000
"""How many events pyvol remembers: some 300 KiB, enough for an engine that starts hundreds of containers."""
WAITING = 8
"""How many clients may wait at a time, each with one of the 128 threads. The others get an answer at once."""
LONGEST_WAIT_S = 20.0
LONGEST_FACT = 500
"""In characters. A request can be a megabyte; an event stays small."""

LINES = {
    EventKind.CREATED: ("info", "volume created"),
    EventKind.ADOPTED: ("info", "volume adopted"),
    EventKind.CHANGED: ("info", "volume changed"),
    EventKind.RENAMED: ("info", "volume renamed"),
    EventKind.MOUNTED: ("debug", "volume mounted"),
    EventKind.UNMOUNTED: ("debug", "volume unmounted"),
    EventKind.REMOVED: ("info", "volume removed"),
    EventKind.UNDELETED: ("info", "volume undeleted"),
    EventKind.DELETED: ("info", "volume deleted from the trash"),
    EventKind.FAILED: ("warning", "request failed"),
    EventKind.LOCK_LOST: ("warning", "lock was lost"),
}
"""The level and the words of the log line for each kind of event."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to a volume. The numbers count the events of one life of the daemon."""

    number: int
    at: datetime
    event: str
    volume: str
    facts: dict[str, str]


class EventBatch(msgspec.Struct, frozen=True):
    """The events after a number.

    Attributes:
        life: the life of the daemon; after a restart the numbers begin again in another life.
        last: the number to ask with next time.
        events: the oldest first.
        missed: how many more events there were, which pyvol remembers no longer.
        waited: False if too many clients wait already; the client should ask again after a while.
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
        life: a word for this life of the daemon; each life has another.
    """

    def __init__(self, clock: Clock, life: str) -> None:
        self._clock = clock
        self._life = life
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._last = 0
        self._ended = False
        self._changed = threading.Condition()
        self._places = threading.BoundedSemaphore(WAITING)

    def add(self, kind: EventKind, volume: str, facts: dict[str, str]) -> None:
        """Remember an event, and wake the clients that wait."""
        with self._changed:
            self._last += 1
            self._kept.append(Event(self._last, self._clock(), kind.value, volume, facts))
            self._changed.notify_all()

    def after(self, number: int, life: str, wait_s: float) -> EventBatch:
        """Return the events after a number; wait for one if there is none yet.

        Args:
            number: the number of the last event that the client knows; -1 for only the events from now on.
            life: the life of the daemon in which that was; in another life all events are new.
            wait_s: the longest wait.
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
        """Wait for an event after a number; return False if too many clients wait already."""
        if not self._places.acquire(blocking=False):
            return False
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._last > known, wait_s)
        finally:
            self._places.release()
        return True

    def end(self) -> None:
        """Answer the clients that wait, because the daemon stops."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class EventLog:
    """A log that records events and writes a line for each. Implements `pyvol.core.ports.host.VolumeLog`.

    Args:
        log: gets the lines.
        events: gets the events.
        lines: the level and the words of the line for each kind.
    """

    def __init__(self, log: Log, events: Events, lines: Mapping[EventKind, tuple[str, str]] = LINES) -> None:
        self._log = log
        self._events = events
        self._lines = lines
        self.debug = log.debug
        self.info = log.info
        self.warning = log.warning

    def event(
        self,
        kind: EventKind,
        volume: str,
        *,
        quiet: bool = False,
        exc_info: BaseException | None = None,
        **facts: Any,
    ) -> None:
        """See `pyvol.core.ports.host.VolumeLog`."""
        level, words = self._lines[kind]
        if level == "warning" and not quiet:
            self._log.warning(words, exc_info=exc_info, volume=volume, **facts)
        else:
            write = self._log.debug if quiet or level == "debug" else self._log.info
            write(words, volume=volume, **facts)
        told = {key: _text(fact) for key, fact in facts.items() if fact not in (None, {}, "")}
        self._events.add(kind, volume, told)


def _text(fact: object) -> str:
    if isinstance(fact, dict):
        text = " ".join(f"{key}={value}" for key, value in fact.items())
    else:
        text = fact.isoformat().replace("+00:00", "Z") if isinstance(fact, datetime) else str(fact)
    return escape_control_chars(text if len(text) <= LONGEST_FACT else f"{text[:LONGEST_FACT]}…")
