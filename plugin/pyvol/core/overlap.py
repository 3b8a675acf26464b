"""Adopted directories (`path=`, `subdir=`) may not overlap: none belongs to two volumes, nor lies in another's."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyvol.core.errors import BadOption
from pyvol.core.locks import NamedLocks
from pyvol.core.model import VolumeSpec
from pyvol.core.ports import Catalog

PATHS = "path="
"""The lock under which one adoption at a time is begun; no volume can be called so."""


class AdoptedDirectories:
    """The directories that volumes of this host have adopted, or are about to.

    Args:
        catalog: what exists.
        locks: those of the volumes.
    """

    def __init__(self, catalog: Catalog, locks: NamedLocks) -> None:
        self._catalog = catalog
        self._locks = locks
        self._under_way: dict[str, VolumeSpec] = {}

    @contextmanager
    def keeping(self, name: str, spec: VolumeSpec) -> Iterator[None]:
        """Keep a directory for a volume that takes it; raises `BadOption` when another volume's overlaps it.

        Storage can be slow: no lock is held in the body that others need.
        """
        if _directory(spec) is None:
            yield
            return
        with self._locks.hold(PATHS, "the adoption of a path"):
            under_way = list(
                self._under_way.items()
            )  # first: what ends meanwhile is in the catalog before it goes here
            taken = [(other.name, other.spec) for other in self._catalog.live() if _directory(other.spec) is not None]
            for other, theirs in (*under_way, *taken):
                if other != name and _overlap(spec, theirs):
                    _, path = _directory(theirs) or ("", "")
                    raise BadOption(
                        f"{'path' if spec.path else 'subdir'} {spec.path or spec.subdir} overlaps that of volume "
                        f"{other!r} ({path}): choose another"
                    )
            self._under_way[name] = spec
        try:
            yield
        finally:
            del self._under_way[name]


def _directory(spec: VolumeSpec) -> tuple[str, str] | None:
    """Return what a volume adopts, and in which pool: a path is one of the host's, whichever pool remembers it."""
    if spec.path is not None:
        return "", spec.path
    return None if spec.subdir is None else (spec.pool, spec.subdir)


def _overlap(one: VolumeSpec, other: VolumeSpec) -> bool:
    mine, theirs = _directory(one), _directory(other)
    if mine is None or theirs is None or mine[0] != theirs[0]:
        return False
    return f"{mine[1]}/".startswith(f"{theirs[1]}/") or f"{theirs[1]}/".startswith(f"{mine[1]}/")
