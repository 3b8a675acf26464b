"""Open the pools of the settings at a start, and check that they are there."""

import os
from functools import partial
from pathlib import Path

from pyvol.config.settings import Settings
from pyvol.core.errors import BadSetting, StorageFailed
from pyvol.core.model.volume import DEFAULT_POOL, Volume
from pyvol.core.ports.host import Catalog, Clock, VolumeLog
from pyvol.core.ports.pool import Pool
from pyvol.daemon.listener import LOCK_PATIENCE_S
from pyvol.host.mounts.bind import place_on_host
from pyvol.host.mounts.table import KernelMounts
from pyvol.host.processes import limits
from pyvol.host.processes.fd_store import FdStore
from pyvol.host.system import machine
from pyvol.storage.layout import MOUNTS, POOLS
from pyvol.storage.local.import_dir import DirectoryImporter
from pyvol.storage.local.pool import LocalPool
from pyvol.storage.mounts import stale_mounts
from pyvol.storage.mounts.volume_mounts import MountedVolumes
from pyvol.storage.nfs import held_locks
from pyvol.storage.nfs.pool import NfsPool
from pyvol.storage.nfs.pool_id import KnownPoolId
from pyvol.storage.paths.allowed import AdoptablePaths
from pyvol.storage.paths.mapping import MappedDirectories, MappedDirectory
from pyvol.storage.remote.servers import Servers

HOST_PATHS = "/paths"
"""Where a managed plugin sees the directory of the host for `-o path=`, see config.json."""


def map_directories(settings: Settings, mounts: KernelMounts) -> MappedDirectories:
    """Return the paths by which the engine sees a managed plugin's directories.

    A daemon on the host has none.
    """
    shown = settings.propagated_mount
    if shown is None:
        return MappedDirectories()
    pools = [
        MappedDirectory(str(pool.path), f"{shown}/pools/{pool.name}", place_on_host(str(pool.path), mounts), mounts)
        for pool in settings.pools
        if pool.export is None  # NFS pools are mounted below the root
    ]
    paths = MappedDirectory(HOST_PATHS, f"{shown}/paths", place_on_host(HOST_PATHS, mounts), mounts)
    return MappedDirectories(pools, paths)


class PoolFactory:
    """Opens pools.

    Args:
        settings: the pools' settings.
        catalog: knows which pools have volumes.
        log: gets a warning for each pool that is missing.
        servers: the NFS servers.
        mounts: the mounts of this host.
    """

    def __init__(
        self, settings: Settings, catalog: Catalog, log: VolumeLog, servers: Servers, mounts: KernelMounts
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._log = log
        self._servers = servers
        self._mounts = mounts
        self._locks: dict[str, int] = {}

    def close(self) -> None:
        """Unlock the pools."""
        for lock in self._locks.values():
            os.close(lock)
        self._locks.clear()

    def local(self, path_mapping: MappedDirectories) -> dict[str, Pool]:
        """Return the pools of this host alone, by name, with their directories.

        Log each whose disk is missing.

        Raises:
            BadSetting: another daemon uses one of them.
        """
        paths = self._paths(path_mapping)
        pools: dict[str, Pool] = {}
        for setting in self._settings.pools:
            if setting.export is not None:
                continue
            self._lock(setting.name, setting.path)
            mountpoints = os.path.realpath(setting.path / MOUNTS)
            stale_mounts.clear(mountpoints, self._servers, self._mounts, self._log)
            mounted = MountedVolumes(mountpoints, self._servers, self._mounts)
            pool = LocalPool(setting.name, str(setting.path), machine.host_name(), paths, mounted)
            try:
                self._prepare(pool, setting.path)
            except StorageFailed as error:
                self._log.warning("pool cannot be used", pool=pool.name, error=str(error))
            pools[setting.name] = pool
        return pools

    def shared(self, fd_store: FdStore, clock: Clock) -> dict[str, NfsPool]:
        """Return the pools that hosts share, by name, with the locks of an earlier daemon.

        Watchers mount them.
        """
        root = os.path.realpath(self._settings.root)
        stale_mounts.clear(f"{root}/{POOLS}", self._servers, self._mounts, self._log)
        pools = {
            setting.name: NfsPool(
                name=setting.name,
                root=f"{root}/{POOLS}/{setting.name}",
                host=machine.host_name(),
                export=setting.export,
                server=self._servers.at(setting.export.host, setting.export.port),
                fd_store=fd_store,
                mounts=self._mounts,
                clock=clock,
                log=self._log,
                is_used=partial(self._is_used, setting.name),
                known_pool_id=KnownPoolId(str(self._settings.state_dir / f"pyvol.pool-{setting.name}"), self._log),
            )
            for setting in self._settings.pools
            if setting.export is not None
        }
        self._take_over_locks(pools, fd_store)
        return pools

    def importer(self, path_mapping: MappedDirectories) -> DirectoryImporter:
        """Return what imports directories into the pools of this host alone."""
        roots = {pool.name: str(pool.path) for pool in self._settings.pools if pool.export is None}
        return DirectoryImporter(roots, self._paths(path_mapping), self._mounts)

    def _prepare(self, pool: LocalPool, path: Path) -> None:
        if pool.is_prepared() or not self._is_used(pool.name):
            pool.prepare()
            self._lock(pool.name, path)
        else:
            # Directories created now would be hidden by the disk when it is mounted.
            self._log.warning("pool has lost its directories: is its disk mounted?", pool=pool.name, path=pool.root)

    def _lock(self, name: str, path: Path) -> None:
        """Lock a pool's directory if it exists: a second daemon would delete what the first is creating."""
        if name == DEFAULT_POOL or name in self._locks:  # the listener locks the default pool's directory
            return
        try:
            lock = limits.lock_directory(path, LOCK_PATIENCE_S)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:  # such as a server's file system
            self._log.warning("pool is not locked: make sure that no other pyvol uses it", pool=name, error=str(error))
            return
        if lock is None:
            raise BadSetting(
                "cannot be used",
                f"another pyvol, or another pool of this one, uses {path}",
                "stop the other pyvol, or choose another path for this pool",
                pool=name,
            )
        self._locks[name] = lock

    def _take_over_locks(self, pools: dict[str, NfsPool], fd_store: FdStore) -> None:
        try:
            keys = fd_store.take_over()
        except OSError as error:
            self._log.warning("locks of an earlier pyvol not taken over", error=str(error))
            return
        for pool in pools.values():
            pool.take_over(keys)
        held_locks.release_strays(keys, pools, self._is_claimed, fd_store, self._log)

    def _is_claimed(self, volume: Volume) -> bool:
        known = self._catalog.find(volume.name)
        return known is not None and known.id == volume.id and bool(self._catalog.claims(volume.name))

    def _paths(self, path_mapping: MappedDirectories) -> AdoptablePaths:
        settings = self._settings
        own = [settings.state_dir, *(pool.path for pool in settings.pools if pool.export is None)]
        return AdoptablePaths(
            [path_mapping.host_path(str(path)) for path in own],
            [str(path) for path in settings.allowed_paths],
            self._mounts,
            path_mapping.paths,
        )

    def _is_used(self, pool: str) -> bool:
        return any(volume.spec.pool == pool for volume in (*self._catalog.live(), *self._catalog.trashed()))
