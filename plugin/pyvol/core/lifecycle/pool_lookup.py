"""Finds the pool and the directory of a volume."""

from collections.abc import Mapping

from pyvol.core.errors import StorageFailed, naming
from pyvol.core.model.volume import Volume
from pyvol.core.ports.pool import Pool


def pool_named(pools: Mapping[str, Pool], name: str) -> Pool:
    """Return the pool of a name; raises `StorageFailed`."""
    try:
        return pools[name]
    except KeyError:
        raise StorageFailed(
            "is not in the settings",
            hint=f"put it back ([pools.{name}] of pyvol.toml, or nfs_export), then restart pyvol",
            pool=name,
        ) from None


def pool_of(pools: Mapping[str, Pool], volume: Volume) -> Pool:
    """Return a volume's pool; raises `StorageFailed`."""
    with naming(volume.name):
        return pool_named(pools, volume.spec.pool)


def mountpoint_of(pools: Mapping[str, Pool], volume: Volume) -> str:
    """Return the directory that a container sees.

    Does no I/O, and never fails, even without the pool (promise 1).
    """
    pool = pools.get(volume.spec.pool)
    return pool.mountpoint(volume) if pool else (volume.spec.path or "")
