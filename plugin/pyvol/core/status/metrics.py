"""Numbers about the volumes, for monitoring. They come from memory, so reading them never waits for a disk.

Only a file system knows its free space. pyvol asks for it in the background.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import Space, Volume
from pyvol.core.ports.host import Catalog
from pyvol.core.ports.pool import Pool
from pyvol.core.status.usage import Usage


class Reading(NamedTuple):
    """The numbers of one moment.

    Attributes:
        volumes: the number of volumes, by pool.
        degraded: how many of them had a problem when pyvol last looked.
        claims: how many mounts are outstanding.
        stale_claims: how many of them are of an earlier generation.
        trash: the number of removed volumes, by pool.
        bytes: the disk space of volumes, by pool, as far as it was counted.
        trash_bytes: the disk space of removed volumes.
        room: of each pool whether it could be asked, and what it said last.
        servers: whether each known NFS server answers, by its host and port.
        catalog: whether the last write of the catalog succeeded.
    """

    volumes: Mapping[str, int]
    degraded: int
    claims: int
    stale_claims: int
    trash: Mapping[str, int]
    bytes: Mapping[str, int]
    trash_bytes: Mapping[str, int]
    room: Mapping[str, tuple[bool, Space | None]]
    servers: Mapping[tuple[str, str], bool]
    catalog: bool


class VolumeMetrics:
    """Reads the numbers.

    Args:
        catalog: what exists and what is promised.
        pools: by name.
        degraded: returns how many volumes were last seen with something wrong.
        servers: returns whether each known NFS server answers, by its host and port.
        usage: returns what was last counted in a volume.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        pools: Mapping[str, Pool],
        degraded: Callable[[], int],
        servers: Callable[[], Mapping[tuple[str, str], bool]],
        usage: Callable[[Volume], Usage | None],
    ) -> None:
        self._catalog = catalog
        self._pools = pools
        self._degraded = degraded
        self._servers = servers
        self._usage = usage
        self._room: dict[str, tuple[bool, Space | None]] = {}

    def sample(self) -> None:
        """Ask each pool for its free space. Takes as long as storage takes."""
        for name, pool in self._pools.items():
            try:
                self._room[name] = (True, pool.space())
            except StorageFailed:  # each request for the pool reports its own error
                self._room[name] = (False, self._room.get(name, (False, None))[1])

    def read(self) -> Reading:
        """Return the numbers; never waits."""
        claims = self._catalog.claims()
        generation = self._catalog.generation
        none = dict.fromkeys(self._pools, 0)
        return Reading(
            volumes=none | Counter(volume.spec.pool for volume in self._catalog.live()),
            degraded=self._degraded(),
            claims=len(claims),
            stale_claims=sum(claim.generation != generation for claim in claims),
            trash=none | Counter(volume.spec.pool for volume in self._catalog.trashed()),
            bytes=none | self._sum(self._catalog.live()),
            trash_bytes=none | self._sum(self._catalog.trashed()),
            room=dict(self._room),
            servers=self._servers(),
            catalog=self._catalog.problem is None,
        )

    def _sum(self, volumes: Iterable[Volume]) -> Counter[str]:
        """Return the bytes that were counted, by pool."""
        sums: Counter[str] = Counter()
        for volume in volumes:
            usage = self._usage(volume)
            sums[volume.spec.pool] += usage.bytes if usage else 0
        return sums
