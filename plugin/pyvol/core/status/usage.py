"""What volumes take on their disks: counted in the background, one after the other, and remembered with its age."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import msgspec

from pyvol.core.errors import BadRequest, NoSuchVolume
from pyvol.core.model.text import escape_control_chars
from pyvol.core.model.units import format_age, format_bytes
from pyvol.core.model.volume import Phase, Volume
from pyvol.core.ports.host import Catalog, Clock
from pyvol.core.ports.pool import Pool

PER_SECOND = 5000.0
"""How many entries the background looks at: a million files in three minutes, and a few percent of one core."""
KEEP_AFTER = 50
"""How many counts are kept in memory alone before they are written."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What one volume took when it was counted.

    Attributes:
        bytes: blocks on the disk, so that a hole in a file takes nothing; each file once, however many names it has.
        files: what is no directory.
        counted: when.
        trouble: what could not be looked at; then there may be more.
    """

    bytes: int
    files: int
    counted: datetime
    trouble: str = ""

    def summary(self, now: datetime) -> str:
        """Return it for people, with its age."""
        more = "at least " if self.trouble else ""
        return f"{more}{format_bytes(self.bytes)} in {self.files} files ({format_age(now - self.counted)} ago)"


class Store(Protocol):
    """Where counts are kept across restarts."""

    def load(self) -> dict[str, Usage]:
        """Return them by the volumes' ids."""
        ...

    def save(self, counted: dict[str, Usage], gone: Collection[str]) -> None:
        """Keep these, and those of ids that are gone no longer."""
        ...


class Count(Protocol):
    """Counts a directory; raises OSError."""

    def __call__(self, path: str, per_second: float, on_progress: Callable[[int, int], None]) -> tuple[int, int, str]:
        """Return bytes, files, and what could not be looked at."""
        ...


class Progress(NamedTuple):
    """A count under way."""

    volume: str
    bytes: int
    files: int


class Usages:
    """The counts of this host's volumes.

    Args:
        catalog: what exists.
        pools: by name.
        store: where they are kept.
        count: counts a directory.
        clock: the time.
        every: how old a count may be; zero: nothing is counted unless it is asked for.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each port by its name
        self,
        *,
        catalog: Catalog,
        pools: Mapping[str, Pool],
        store: Store,
        count: Count,
        clock: Clock,
        every: timedelta,
    ) -> None:
        self._catalog = catalog
        self._pools = pools
        self._store = store
        self._count = count
        self._clock = clock
        self._every = every
        self._known = store.load()
        self._unsaved: dict[str, Usage] = {}
        self._asked: dict[str, str] = {}
        self._due: deque[str] = deque()
        self._stopped = False
        self._guard = threading.Lock()
        self.progress: Progress | None = None

    def of(self, volume: Volume) -> Usage | None:
        """Return the last count of a volume, live or in the trash; never waits."""
        return self._known.get(volume.id)

    def summary(self, volume: Volume) -> str:
        """Return it for people."""
        usage = self.of(volume)
        return usage.summary(self._clock()) if usage else "not counted yet"

    def ask(self, names: Collection[str]) -> int:
        """Have volumes counted before all others, and at full speed: these, or all; return how many."""
        chosen = (
            [self._find(name) for name in names] if names else [v for v in self._catalog.live() if self._countable(v)]
        )
        with self._guard:
            self._asked.update((volume.id, volume.name) for volume in chosen)
        return len(chosen)

    @property
    def waiting(self) -> int:
        """Return how many volumes that were asked for are still to be counted."""
        return len(self._asked)

    def work(self) -> bool:
        """Count one volume; tell whether there is another one to count. To be called in one thread."""
        volume, is_asked = self._next()
        if volume is not None:
            self._count_one(volume, PER_SECOND if not is_asked else 0)
            with self._guard:
                self._asked.pop(volume.id, None)
        if volume is None:
            self.save()
        elif len(self._unsaved) >= KEEP_AFTER:
            self._keep(())  # who is gone is looked for once, at the end: each time anew it would be for all of them
        return volume is not None

    def stop(self) -> None:
        """Take a count that is cut off from now on for the daemon's end."""
        self._stopped = True

    def save(self) -> None:
        """Keep what was counted, and forget volumes that are gone."""
        there = {volume.id for volume in (*self._catalog.live(), *self._catalog.trashed())}
        gone = self._known.keys() - there
        for key in gone:
            del self._known[key]
        if self._unsaved or gone:
            self._keep(gone)

    def _keep(self, gone: Collection[str]) -> None:
        self._store.save(self._unsaved, gone)
        self._unsaved = {}

    def _next(self) -> tuple[Volume | None, bool]:
        while (asked := self._first_asked()) is not None:
            key, name = asked
            volume = self._catalog.find(name)
            if volume is not None and volume.id == key:
                return volume, True
            with self._guard:  # removed before its turn came
                self._asked.pop(key, None)
        if not self._due and self._every:
            self._due.extend(self._list_due())
        while self._due:
            volume = self._catalog.find(self._due.popleft())
            if volume is not None and self._is_mine(volume):
                return volume, False
        return None, False

    def _first_asked(self) -> tuple[str, str] | None:
        with self._guard:
            return next(iter(self._asked.items()), None)

    def _list_due(self) -> list[str]:
        """Return the names of those whose count is too old, the oldest first."""
        now = self._clock()
        counted = [(self.of(volume), volume.name) for volume in self._catalog.live() if self._is_mine(volume)]
        due = [
            (usage.counted.timestamp() if usage else 0.0, name)
            for usage, name in counted
            if _is_due(usage, now, self._every)
        ]
        return [name for _, name in sorted(due)]

    def _countable(self, volume: Volume) -> bool:
        """Tell whether a volume's directory is there to be counted: not one that has yet to be mounted."""
        return volume.phase is Phase.READY and volume.spec.type is None and volume.spec.pool in self._pools

    def _is_mine(self, volume: Volume) -> bool:
        """Tell whether the background counts it; a share would be counted by every host, over the network."""
        return self._countable(volume) and self._pools[volume.spec.pool].traits.counts_usage

    def _find(self, name: str) -> Volume:
        volume = self._catalog.find(name)
        if volume is None:
            raise NoSuchVolume(name)
        if not self._countable(volume):
            raise BadRequest(f"volume {name!r} cannot be counted: its files are not in a pool, or cannot be reached")
        return volume

    def _count_one(self, volume: Volume, per_second: float) -> None:
        def on_progress(size: int, files: int) -> None:
            self.progress = Progress(volume.name, size, files)

        on_progress(0, 0)
        try:
            path = self._pools[volume.spec.pool].mountpoint(volume)
            size, files, trouble = self._count(path, per_second, on_progress)
        except OSError as error:
            if self._stopped:
                return  # the daemon ends; the next one counts it
            known = self.of(volume)
            size, files, trouble = known.bytes if known else 0, known.files if known else 0, str(error.strerror)
        finally:
            self.progress = None
        usage = Usage(size, files, self._clock().replace(microsecond=0), escape_control_chars(trouble))
        self._known[volume.id] = self._unsaved[volume.id] = usage


def _is_due(usage: Usage | None, now: datetime, every: timedelta) -> bool:
    # One from the future was counted before the clock was set back: how old it is, nobody can tell.
    return usage is None or not now - every < usage.counted <= now
