"""The real catalog, on a disk that can be full, and with an act right after one of its reads."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyvol.catalog import SqliteCatalog
from pyvol.core.model.volume import Volume


class WatchedNames(dict[str, Volume]):
    """The names in the catalog's memory, and what happens at each change of one."""

    def __init__(self, names: dict[str, Volume], happens: Callable[[], object]) -> None:
        super().__init__(names)
        self._happens = happens

    def __setitem__(self, name: str, volume: Volume) -> None:
        super().__setitem__(name, volume)
        self._happens()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._happens()


class StagedCatalog(SqliteCatalog):
    """The catalog of a house."""

    def __init__(self, state_dir: Path, boot_id: str) -> None:
        super().__init__(state_dir, boot_id)
        self._events: dict[str, tuple[int, Callable[[], object]]] = {}

    @contextmanager
    def full(self) -> Iterator[None]:
        """Refuse every write in the body, as SQLite does on a full disk."""
        self._db.execute("PRAGMA query_only = ON")
        try:
            yield
        finally:
            self._db.execute("PRAGMA query_only = OFF")

    def on_change(self, happens: Callable[[], object]) -> None:
        """Call something at each change of a name in memory."""
        self._live = WatchedNames(self._live, happens)

    def after(self, read: str, number: int, happens: Callable[[], object]) -> None:
        """Call something right after the next read of a name, or after the one that comes so many later."""
        self._events[read] = (number, happens)

    def find(self, name: str) -> Volume | None:
        """See `pyvol.core.ports.host.Catalog`."""
        found = super().find(name)
        self._happen("find")
        return found

    def live(self) -> Collection[Volume]:
        """See `pyvol.core.ports.host.Catalog`."""
        found = super().live()
        self._happen("live")
        return found

    def _happen(self, read: str) -> None:
        number, happens = self._events.pop(read, (0, None))
        if happens is None:
            return
        if number > 1:
            self._events[read] = (number - 1, happens)
        else:
            happens()
