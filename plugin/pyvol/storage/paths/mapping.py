"""Directories of the host that have one path here and another path for the engine (decision 8).

A daemon of the host itself has none: its paths are the engine's and the people's.
"""

import os
import threading
from collections.abc import Sequence

from pyvol.core.errors import StorageFailed
from pyvol.host.mounts import bind
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.layout import DATA
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.paths.allowed import is_within


class MappedDirectory:
    """One such directory.

    Args:
        here: where it is bound for this process.
        shown: where it is bound once more, for the engine.
        host: the host's path of the directory; None if it is unknown.
        mounts: the mounts of this host.
    """

    def __init__(self, here: str, shown: str, host: str | None, mounts: KernelMounts) -> None:
        self.here = here
        self.shown = shown
        self.host = host
        self._mounts = mounts
        self._lock = threading.Lock()

    def show(self) -> None:
        """Make the engine see it, also when this process has ended. Raises OSError."""
        with self._lock:
            bind.show(self.here, self.shown, self._mounts)

    def inward(self, path: str) -> str:
        """Return this process's path of a host's path.

        Raise `StorageFailed` if it is not in this directory.
        """
        if self.host is None:
            raise StorageFailed(
                f"path {path} cannot be found",
                "this plugin has no directory of the host for paths, or cannot identify it",
                "set paths.source, and give the plugin the host's process namespace (pidhost)",
            )
        path = os.path.normpath(path)
        if not is_within(path, self.host):
            above = os.path.dirname(path.removesuffix(f"/{DATA}"))
            holder = path if above == "/" else above
            raise StorageFailed(
                f"path {path} cannot be used",
                f"it is not in {self.host}, the one directory of the host that this plugin has for paths",
                f"`docker plugin disable -f`, `docker plugin set` a paths.source that contains it, such as {holder}, "
                "`docker plugin enable`",
            )
        return _moved(path, self.host, self.here)

    def outward(self, path: str) -> str:
        """Return the host's path of this process's path, as far as it is known.

        Raise `StorageFailed` for others.
        """
        if not is_within(path, self.here):
            raise StorageFailed(
                f"path {path} cannot be used",
                "a symlink leads out of the directory that this plugin has for paths",
                "choose another path",
            )
        return path if self.host is None else _moved(path, self.here, self.host)


class MappedDirectories:
    """All mapped directories. Implements `pyvol.core.ports.host.PathMapping`.

    Args:
        pools: the directories of the pools.
        paths: the directory for adopted paths.
    """

    def __init__(self, pools: Sequence[MappedDirectory] = (), paths: MappedDirectory | None = None) -> None:
        self.paths = paths
        self._directories = [*pools, *([paths] if paths else [])]

    def engine_path(self, path: str) -> str:
        """See `pyvol.core.ports.host.PathMapping`."""
        for directory in self._directories:
            if is_within(path, directory.here):
                return _moved(path, directory.here, directory.shown)
        return path

    def host_path(self, path: str) -> str:
        """See `pyvol.core.ports.host.PathMapping`."""
        for directory in self._directories:
            if is_within(path, directory.here):
                return directory.outward(path)
        return path

    def show(self, path: str, volume: str) -> str:
        """See `pyvol.core.ports.host.PathMapping`."""
        for directory in self._directories:
            if is_within(path, directory.here):
                with storage_errors("cannot be shown to the engine", volume=volume):
                    directory.show()
        return self.engine_path(path)


def _moved(path: str, source: str, target: str) -> str:
    return os.path.normpath(os.path.join(target, os.path.relpath(path, source)))
