"""Which directories of this host `path=` may adopt."""

import os
import stat
from collections.abc import Sequence
from typing import Protocol

from pyvol.core.errors import BadOption, StorageFailed
from pyvol.host.mounts.table import KernelMounts

SYSTEM = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
)
"""Never adopted, and neither is a directory below or above them."""

SHARED = (
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/srv",
    "/tmp",  # noqa: S108  # named, never used
    "/var/cache",
    "/var/log",
    "/var/spool",
    "/var/tmp",  # noqa: S108  # the same
)
"""Never adopted; a directory below may be."""


class Translation(Protocol):
    """Translates paths of the host, for a process that has its own mount namespace."""

    def inward(self, path: str) -> str:
        """Return this process's path of a host's path, or raise `StorageFailed`."""
        ...

    def outward(self, path: str) -> str:
        """Return the host's path of this process's path."""
        ...


class AdoptablePaths:
    """The rules for `path=`.

    Args:
        reserved: the pools' roots and the state directory, by the host's paths.
        allowed: when not empty, a path must be one of these or below one (`allowed_paths`).
        mounts: the mounts of this host.
        translation: None on the host itself.
    """

    def __init__(
        self,
        reserved: Sequence[str],
        allowed: Sequence[str],
        mounts: KernelMounts,
        translation: Translation | None = None,
    ) -> None:
        self._mounts = mounts
        self._translation = translation
        self._reserved = [os.path.realpath(path) for path in reserved]
        self._allowed = [os.path.realpath(path) for path in allowed]

    def resolve(self, path: str) -> str:
        """Return the directory without symlinks, or raise `BadOption` with the reason."""
        try:
            here = os.path.realpath(self.here(path), strict=True)
            is_directory = stat.S_ISDIR(os.stat(here).st_mode)
            real = self._translation.outward(here) if self._translation else here
        except OSError as error:
            raise BadOption(f"path {path} is refused", str(error.strerror), "create the directory first") from None
        except StorageFailed as error:
            raise BadOption(error.what, error.cause, error.hint) from None
        if not is_directory:
            raise BadOption(f"path {path} is not a directory")
        if not real.isprintable():  # volume.json of such a volume would not be accepted
            raise BadOption(
                f"path {path} is refused",
                f"it leads to {real!r}, which cannot be displayed",
                "rename the directory",
            )
        self.permit(path, real)
        return real

    def resolve_engines(self, path: str) -> str:
        """Return the directory of a volume of the engine's own driver, as `resolve` does.

        Raises `BadOption`.

        No other directory at that place may be adopted, so it has to look as that driver makes it.
        """
        try:
            here = os.path.realpath(self.here(path), strict=True)
            real = self._translation.outward(here) if self._translation else here
        except OSError as error:
            raise BadOption(f"path {path} is refused", str(error.strerror), "see `docker volume ls`") from None
        except StorageFailed as error:
            raise BadOption(error.what, error.cause, error.hint) from None
        names = real.split("/")
        if not os.path.isdir(here) or names[-1] != "_data" or names[-3:-2] != ["volumes"]:
            raise BadOption(
                f"path {path} is refused",
                "it is not the directory of a volume of the engine",
                "adopt it with --path",
            )
        self._refuse_own(path, real)
        return real

    def permit(self, path: str, real: str) -> None:
        """Raise `BadOption` if a directory may not be adopted; `real` is its path without symlinks."""
        for system in SYSTEM:
            if is_within(real, system) or is_within(system, real):
                raise BadOption(
                    f"path {path} is refused",
                    f"it is a system directory, or contains one, or is inside one ({system})",
                    "choose another path",
                )
        if real in SHARED:
            raise BadOption(f"path {path} is refused", "the whole host shares it", "choose a directory below it")
        self._refuse_own(path, real)
        if self._allowed and not any(is_within(real, allowed) for allowed in self._allowed):
            raise BadOption(
                f"path {path} is refused",
                f"it is outside of allowed_paths ({', '.join(self._allowed)})",
                "choose a directory below these",
            )

    def _refuse_own(self, path: str, real: str) -> None:
        for own in self._reserved:
            if is_within(real, own) or is_within(own, real):
                raise BadOption(
                    f"path {path} is refused",
                    f"it overlaps with pyvol's own directory {own}",
                    "choose another path",
                )

    def storage(self, path: str) -> str:
        """Return where the file system of a path is mounted in this process's mount namespace.

        Does no I/O.
        """
        try:
            return self._mounts.nearest_mountpoint(self.here(path))
        except StorageFailed:  # this process has no such path, so nothing accesses it
            return ""

    def here(self, path: str) -> str:
        """Return this process's path of an adopted directory, or raise `StorageFailed`."""
        return self._translation.inward(path) if self._translation else path


def is_within(path: str, directory: str) -> bool:
    """Return whether a path is a directory or below it. Both are absolute and resolved."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
