"""The disk usage of volumes. pyvol counts one volume at a time, in the background or by a job."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from pyvol.core.concurrency.jobs import JobKind
from pyvol.core.concurrency.task import Task
from pyvol.core.errors import BadRequest, NoSuchVolume
from pyvol.core.model.text import escape_control_chars
from pyvol.core.model.units import format_age, format_bytes
from pyvol.core.model.volume import Phase, Volume
from pyvol.core.ports.host import Catalog, Clock
from pyvol.core.ports.pool import Pool

COUNT = JobKind("count usage", "volumes", at_once=1)
PER_SECOND = 5000.0
"""How many files the background looks at: a million in three minutes, with a few percent of one core."""
SAVE_EVERY = timedelta(minutes=1)
"""How long the background counts until it saves what it has counted."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """The disk usage of one volume when pyvol counted it.

    Attributes:
        bytes: its blocks on the disk: holes in files do not count, and a file with several names counts once.
        files: everything except directories.
        counted: when pyvol counted.
        problem: which files pyvol could not count; if it is not empty, there may be more bytes.
    """

    bytes: int
    files: int
    counted: datetime
    problem: str = ""

    def summary(self, now: datetime) -> str:
        """Return the count and its age, for people."""
        more = "at least " if self.problem else ""
        return f"{more}{format_bytes(self.bytes)} in {self.files} files ({format_age(now - self.counted)} ago)"


class Store(Protocol):
    """Keeps counts, by the volumes' ids, across restarts."""

    def load(self) -> dict[str, Usage]:
        """Return the counts."""
        ...

    def save(self, counts: Mapping[str, Usage]) -> None:
        """Keep these counts and no others."""
        ...


OnProgress = Callable[[int, int], None]
"""Gets the bytes and files so far."""
Count = Callable[[str, Task, OnProgress, float], tuple[int, int, str]]
"""Counts a directory for a task, at so many files a second, or as fast as it can (0).

Returns bytes, files, and what it could not look at. Raises OSError, also if the task was cancelled.
"""


class Usages:
    """The counts of this host's volumes.

    `every`: how old a count may be; zero: the background counts nothing.
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
        self._stored = dict(self._known)
        self._saved = clock()
        self._due: deque[str] = deque()
        self._guard = threading.Lock()

    def of(self, volume: Volume) -> Usage | None:
        """Return the last count of a volume, live or in the trash; never waits."""
        return self._known.get(volume.id)

    def summary(self, volume: Volume) -> str:
        """Return the last count for people."""
        usage = self.of(volume)
        return usage.summary(self._clock()) if usage else "not counted yet"

    def choose(self, names: Collection[str]) -> Sequence[Volume]:
        """Return the volumes of these names, or without names all that can be counted.

        Raises:
            NoSuchVolume: there is no volume of a name.
            BadRequest: the files of a volume are out of reach.
        """
        return [self._find(name) for name in names] or [v for v in self._catalog.live() if self._can_count(v)]

    def count(self, volumes: Sequence[Volume], task: Task) -> None:
        """Count volumes at full speed. Volumes that are removed in the meantime are left out."""
        for done, volume in enumerate(volumes):

            def report(size: int, files: int, done: int = done, name: str = volume.name) -> None:
                task.report(done, len(volumes), f"{name}: {format_bytes(size)} in {files} files")

            if task.must_end():
                break
            if self._catalog.find_id(volume.id) is not None:
                self._count_one(volume, task, report, 0)
        else:
            task.report(len(volumes), len(volumes))
        self.save()

    def work(self, task: Task) -> bool:
        """Count the next volume whose count is too old, slowly; return whether there was one."""
        if not self._due and self._every:
            self._due.extend(self._list_due())
        volume = None
        while self._due and volume is None:
            volume = self._catalog.find(self._due.popleft())
        if volume is not None and self._is_for_background(volume):
            self._count_one(volume, task, lambda _, __: None, PER_SECOND)
        if volume is None or self._clock() - self._saved >= SAVE_EVERY:
            self.save()
        return volume is not None

    def save(self) -> None:
        """Keep the counts, and forget the counts of volumes that are gone."""
        with self._guard:
            there = {volume.id for volume in (*self._catalog.live(), *self._catalog.trashed())}
            for key in set(self._known) - there:
                del self._known[key]
            known = dict(self._known)
            if known != self._stored:
                self._store.save(known)
            self._stored, self._saved = known, self._clock()

    def _list_due(self) -> list[str]:
        """Return the names of the volumes whose count is too old, the oldest count first."""
        # A count from the future was made before the clock was set back: nobody knows how old it is.
        now, never = self._clock(), datetime.min.replace(tzinfo=UTC)
        mine = [volume for volume in self._catalog.live() if self._is_for_background(volume)]
        counted = [(usage.counted if (usage := self.of(volume)) else never, volume.name) for volume in mine]
        return [name for when, name in sorted(counted) if not now - self._every < when <= now]

    def _can_count(self, volume: Volume) -> bool:
        """Return whether the volume's directory is in reach; the directory of a mounted volume is not."""
        return volume.phase is Phase.READY and volume.spec.type is None and volume.spec.pool in self._pools

    def _is_for_background(self, volume: Volume) -> bool:
        """Return whether the background counts a volume.

        A share would be counted by each host, over the network.
        """
        return self._can_count(volume) and self._pools[volume.spec.pool].traits.counts_usage

    def _find(self, name: str) -> Volume:
        volume = self._catalog.find(name)
        if volume is None:
            raise NoSuchVolume(name)
        if not self._can_count(volume):
            raise BadRequest("cannot be counted", "its files are not in a pool, or cannot be reached", volume=name)
        return volume

    def _count_one(self, volume: Volume, task: Task, on_progress: OnProgress, per_second: float) -> None:
        on_progress(0, 0)
        try:
            path = self._pools[volume.spec.pool].mountpoint(volume)
            size, files, problem = self._count(path, task, on_progress, per_second)
        except OSError as error:
            if task.must_end():
                return  # the volume keeps its last count
            known = self.of(volume)
            size, files, problem = known.bytes if known else 0, known.files if known else 0, str(error.strerror)
        self._known[volume.id] = Usage(size, files, self._clock().replace(microsecond=0), escape_control_chars(problem))
