"""Adopted directories (`path=`, `subdir=`) may not overlap: none belongs to two volumes, nor lies in another's.

On a share that holds for the volumes of all hosts. A host can't keep another from making one at the same time. So it
looks once more when its own is there, and takes that back where it finds another's: of two at once none may stay.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pyvol.core.concurrency.named_locks import NamedLocks
from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.lifecycle.shared_pools import SharedPools
from pyvol.core.model.volume import VolumeSpec
from pyvol.core.ports.host import Catalog

PATHS = "path="
"""The lock under which one adoption at a time is begun; no volume can be called so."""


class AdoptedDirectories:
    """The directories that volumes of this host have adopted, or are about to.

    Args:
        catalog: what exists.
        locks: those of the volumes.
        shared_pools: the pools that other hosts have too.
    """

    def __init__(self, catalog: Catalog, locks: NamedLocks, shared_pools: SharedPools) -> None:
        self._catalog = catalog
        self._locks = locks
        self._shared_pools = shared_pools
        self._under_way: dict[str, VolumeSpec] = {}

    @contextmanager
    def reserve(self, name: str, spec: VolumeSpec) -> Iterator[None]:
        """Keep a directory for a volume that takes it; raises `BadOption` when another volume's overlaps it.

        Storage can be slow: no lock is held in the body that others need, nor while a share is asked.
        """
        if _directory(spec) is None:
            yield
            return
        elsewhere = self._elsewhere(name, spec)
        with self._locks.hold(PATHS, "the adoption of a path"):
            # Those under way first: what ends meanwhile is in the catalog before it is none of them any more.
            _refuse_overlap(name, spec, [*self._under_way.items(), *elsewhere, *self._here()])
            self._under_way[name] = spec
        try:
            yield
        finally:
            del self._under_way[name]

    def check_reserved(self, name: str, spec: VolumeSpec) -> None:
        """See that no other host has taken the directory of a volume that has just been made; raises `BadOption`."""
        if _directory(spec) is not None:
            _refuse_overlap(name, spec, [*self._elsewhere(name, spec), *self._here()])

    def _elsewhere(self, name: str, spec: VolumeSpec) -> list[tuple[str, VolumeSpec]]:
        """Return what only other hosts know; to be asked before `_here`, to which it goes when it is learned."""
        try:
            return [(volume.name, volume.spec) for volume in self._shared_pools.unknown(spec.pool)]
        except StorageFailed as error:
            raise StorageFailed(f"volume {name!r}: {error}") from error.__cause__

    def _here(self) -> list[tuple[str, VolumeSpec]]:
        return [(volume.name, volume.spec) for volume in self._catalog.live()]


def _directory(spec: VolumeSpec) -> tuple[str, str] | None:
    """Return what a volume adopts, and in which pool: a path is one of the host's, whichever pool remembers it."""
    if spec.path is not None:
        return "", spec.path
    return None if spec.subdir is None else (spec.pool, spec.subdir)


def _refuse_overlap(name: str, spec: VolumeSpec, others: Sequence[tuple[str, VolumeSpec]]) -> None:
    for other, theirs in others:
        if other != name and _overlap(spec, theirs):
            _, path = _directory(theirs) or ("", "")
            raise BadOption(
                f"{'path' if spec.path else 'subdir'} {spec.path or spec.subdir} overlaps that of volume {other!r} "
                f"({path}): choose another"
            )


def _overlap(one: VolumeSpec, other: VolumeSpec) -> bool:
    mine, theirs = _directory(one), _directory(other)
    if mine is None or theirs is None or mine[0] != theirs[0]:
        return False
    return f"{mine[1]}/".startswith(f"{theirs[1]}/") or f"{theirs[1]}/".startswith(f"{mine[1]}/")
