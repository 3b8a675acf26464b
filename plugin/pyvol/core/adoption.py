"""Adopted paths (`path=`) may not overlap: no directory belongs to two volumes, nor lies in one."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyvol.core.errors import BadOption
from pyvol.core.locks import NamedLocks
from pyvol.core.model import VolumeSpec
from pyvol.core.ports import Catalog

PATHS = "path="
"""The lock that one adoption holds at a time; no volume can be called so."""


@contextmanager
def adopting(name: str, spec: VolumeSpec, catalog: Catalog, locks: NamedLocks) -> Iterator[None]:
    """Hold off other adoptions while a volume takes its path; raises `BadOption` when another volume's overlaps it."""
    if spec.path is None:
        yield
        return
    with locks.hold(PATHS, "the adoption of a path"):
        for other in catalog.live():
            if other.name != name and other.spec.path and _overlap(spec.path, other.spec.path):
                raise BadOption(
                    f"path {spec.path} overlaps that of volume {other.name!r} ({other.spec.path}): choose another"
                )
        yield


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
