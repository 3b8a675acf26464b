"""Directories of this host that become the data of volumes: see `pyvol.core.adopting.Intake`.

A rename goes by way of `staging/taken-<id>/`, which has the descriptor before it gets the data: where a crash falls in
between, the next start shows it as the volume. A copy grows in `staging/new-<id>/`, which the next start deletes.
"""

import errno
import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from pyvol.core.adopting import Heard
from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.model import Volume
from pyvol.core.plans import How, Kind
from pyvol.core.usage import Count
from pyvol.host import copying, directories, durable, trees
from pyvol.host.mounts import KernelMounts
from pyvol.storage import descriptor, moves
from pyvol.storage.descriptor import DESCRIPTOR
from pyvol.storage.paths import AdoptablePaths
from pyvol.storage.staging import DATA, NEW, TAKEN
from pyvol.storage.trouble import told

ASIDE = ".adopted"
"""What is put behind the name of an engine's directory that was copied; it goes when the engine removes its volume."""


class DirectoryIntake:
    """Brings directories into the local pools. Implements `pyvol.core.adopting.Intake`.

    Args:
        roots: the local pools' directories, by the pools' names.
        paths: the rules for directories of this host.
        mounts: what is mounted.
        count: counts a directory, for the progress of its copy.
    """

    def __init__(self, roots: Mapping[str, str], paths: AdoptablePaths, mounts: KernelMounts, count: Count) -> None:
        self._roots = roots
        self._paths = paths
        self._mounts = mounts
        self._count = count
        self._copies = copying.Copies()

    def find(self, source: str, kind: Kind) -> str:
        """See `pyvol.core.adopting.Intake`."""
        if not source.startswith("/") or not source.isprintable():
            raise BadOption(f"{source!r} is no absolute path that can be shown: name the directory so")
        return self._paths.resolve_engines(source) if kind is Kind.ENGINE else self._paths.resolve(source)

    def here(self, source: str) -> str:
        """See `pyvol.core.adopting.Intake`."""
        return self._paths.here(source)

    def way(self, source: str, pool: str) -> How:
        """See `pyvol.core.adopting.Intake`."""
        here = self._paths.here(source)
        with told(f"directory {source}", "look at it"):
            below = [m.mountpoint for m in self._mounts.read("self") if m.mountpoint.startswith(f"{here}/")]
            if below:
                raise StorageFailed(f"directory {source}: something is mounted in it, at {below[0]}: unmount it first")
            return How.RENAME if copying.on_one_mount(here, f"{self._roots[pool]}/staging") else How.COPY

    def rename(self, volume: Volume, source: str) -> bool:
        """See `pyvol.core.adopting.Intake`."""
        here = self._paths.here(source)
        root = self._roots[volume.spec.pool]
        staged = f"{root}/staging/{TAKEN}{volume.id}"
        with told(f"volume {volume.name!r}", "move its files"):
            try:
                _describe(staged, volume)
                durable.sync_directory(f"{root}/staging")
                durable.move(here, f"{staged}/{DATA}")
            except OSError as error:
                _drop(staged)
                if error.errno == errno.EXDEV:
                    return False
                raise
            try:
                moves.show(staged, volume, f"{root}/volumes")
            except BaseException:
                durable.move_back(here, f"{staged}/{DATA}")
                _drop(staged)
                raise
        return True

    def copy(self, volume: Volume, source: str, heard: Heard, check: Callable[[], None]) -> None:
        """See `pyvol.core.adopting.Intake`."""
        here = self._paths.here(source)
        root = self._roots[volume.spec.pool]
        staged = f"{root}/staging/{NEW}{volume.id}"
        with told(f"volume {volume.name!r}", "copy its files"):
            heard(0, 0)
            whole, _, _ = self._count(here, 0, lambda _, __: None)
            try:
                _describe(staged, volume)
                self._fill(volume, here, f"{staged}/{DATA}", lambda done: heard(done, whole))
                _refuse_changed(volume, here, f"{staged}/{DESCRIPTOR}")
                check()
                moves.show(staged, volume, f"{root}/volumes")
            except BaseException:
                trees.delete_tree(staged)
                raise

    def set_aside(self, source: str) -> None:
        """See `pyvol.core.adopting.Intake`."""
        here = self._paths.here(source)
        with told(f"directory {source}", "be given another name"):
            durable.move(here, f"{here}{ASIDE}")

    def end(self) -> None:
        """See `pyvol.core.adopting.Intake`."""
        self._copies.end()

    def _fill(self, volume: Volume, here: str, target: str, heard: Callable[[int], None]) -> None:
        trouble = self._copies.copy(here, target, heard)
        if trouble:
            raise StorageFailed(
                f"volume {volume.name!r}: its files could not be copied, and stay where they are: {trouble}"
            )


def _describe(staged: str, volume: Volume) -> None:
    os.mkdir(staged)
    os.chmod(staged, directories.DOOR_MODE)
    durable.write_new(f"{staged}/{DESCRIPTOR}", descriptor.encode(volume))
    durable.sync_directory(staged)


def _refuse_changed(volume: Volume, here: str, mark: str) -> None:
    """See that nobody has written meanwhile, such as a container that came and went: it may not be in the copy."""
    changed = copying.find_changed(here, mark)
    if changed is not None:
        raise StorageFailed(
            f"volume {volume.name!r} is not adopted: {changed} was changed while it was copied; stop what writes "
            "there, and try again"
        )


def _drop(staged: str) -> None:
    """Take away what holds nothing but a descriptor; with data in it, it stays."""
    if os.path.lexists(f"{staged}/{DATA}"):
        return
    with suppress(FileNotFoundError):
        os.unlink(f"{staged}/{DESCRIPTOR}")
    with suppress(FileNotFoundError):
        os.rmdir(staged)
