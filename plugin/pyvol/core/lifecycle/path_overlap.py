"""Adopted directories (`path=`, `subdir=`) may not overlap: none may be another, or be inside another.

On a share this is true for the volumes of all hosts. A host cannot keep another host from creating a volume
at the same time. So it checks again after its own creation, and undoes the creation if another host has an
overlapping directory. Of two creations at the same time, possibly neither succeeds.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pyvol.core.concurrency.named_locks import NamedLocks
from pyvol.core.errors import BadOption, naming
from pyvol.core.lifecycle.shared_pools import SharedPools
from pyvol.core.model.volume import VolumeSpec
from pyvol.core.ports.host import Catalog

PATHS = "path="
"""The name of the lock for reservations; it cannot be the name of a volume."""


class AdoptedDirectories:
    """The directories that volumes of this host have adopted, or are about to adopt.

    Args:
        catalog: what exists.
        locks: the locks of the volumes.
        shared_pools: the pools that other hosts share.
    """

    def __init__(self, catalog: Catalog, locks: NamedLocks, shared_pools: SharedPools) -> None:
        self._catalog = catalog
        self._locks = locks
        self._shared_pools = shared_pools
        self._under_way: dict[str, VolumeSpec] = {}

    @contextmanager
    def reserve(self, name: str, spec: VolumeSpec) -> Iterator[None]:
        """Reserve the directory of a volume in the body.

        Raise `BadOption` if another volume's directory overlaps it.

        Storage can be slow: the body and the request to a share run without a lock that other requests need.
        """
        if _directory(spec) is None:
            yield
            return
        elsewhere = self._elsewhere(name, spec)
        with self._locks.hold(PATHS, name):
            # Reservations first: one that ends now is in the catalog before it leaves the reservations.
            _refuse_overlap(name, spec, [*self._under_way.items(), *elsewhere, *self._here()])
            self._under_way[name] = spec
        try:
            yield
        finally:
            del self._under_way[name]

    def check_reserved(self, name: str, spec: VolumeSpec) -> None:
        """Raise `BadOption` if another host has taken the directory of a volume that was just created."""
        if _directory(spec) is not None:
            _refuse_overlap(name, spec, [*self._elsewhere(name, spec), *self._here()])

    def _elsewhere(self, name: str, spec: VolumeSpec) -> list[tuple[str, VolumeSpec]]:
        """Return what only other hosts know.

        Call it before `_here`, which has a volume as soon as it is learned.
        """
        with naming(name):
            return [(volume.name, volume.spec) for volume in self._shared_pools.unknown(spec.pool)]

    def _here(self) -> list[tuple[str, VolumeSpec]]:
        return [(volume.name, volume.spec) for volume in self._catalog.live()]


def _directory(spec: VolumeSpec) -> tuple[str, str] | None:
    """Return the pool and the directory that a volume adopts.

    A path belongs to the host, so it has no pool.
    """
    if spec.path is not None:
        return "", spec.path
    return None if spec.subdir is None else (spec.pool, spec.subdir)


def _refuse_overlap(name: str, spec: VolumeSpec, others: Sequence[tuple[str, VolumeSpec]]) -> None:
    for other, theirs in others:
        if other != name and _overlap(spec, theirs):
            _, path = _directory(theirs) or ("", "")
            key = "path" if spec.path else "subdir"
            raise BadOption(
                f"{key} {spec.path or spec.subdir} is not free",
                f"it overlaps with {path} of volume {other!r}",
                f"choose another {key}",
            )


def _overlap(one: VolumeSpec, other: VolumeSpec) -> bool:
    mine, theirs = _directory(one), _directory(other)
    if mine is None or theirs is None or mine[0] != theirs[0]:
        return False
    return f"{mine[1]}/".startswith(f"{theirs[1]}/") or f"{theirs[1]}/".startswith(f"{mine[1]}/")
