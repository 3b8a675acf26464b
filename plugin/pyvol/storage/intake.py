"""Directories of this host that become the data of volumes: see `pyvol.core.adopting.Intake`.

A rename goes by way of `staging/taken-<id>/`, which has the descriptor before it gets the data: where a crash falls in
between, the next start shows it as the volume. A copy grows in `staging/new-<id>/`, which the next start deletes.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from pyvol.core.adopting import Heard
from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.model import Volume
from pyvol.core.plans import How, Kind
from pyvol.core.sizes import format_bytes
from pyvol.host import copying, counters, directories, durable, trees
from pyvol.host.mounts import KernelMounts
from pyvol.host.pinned import Pinned, Replaced
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
    """

    def __init__(self, roots: Mapping[str, str], paths: AdoptablePaths, mounts: KernelMounts) -> None:
        self._roots = roots
        self._paths = paths
        self._mounts = mounts
        self._counts = counters.Counts()
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
        root = self._roots[volume.spec.pool]
        staged = f"{root}/staging/{TAKEN}{volume.id}"
        with _told_of(volume, source, "move its files"), Pinned(self._paths.here(source)) as held:
            try:
                _describe(staged, volume)
                durable.sync_directory(f"{root}/staging")
                held.move(f"{staged}/{DATA}")
            except OSError as error:
                _drop(staged)
                if error.errno == errno.EXDEV:
                    return False
                raise
            try:
                moves.show(staged, volume, f"{root}/volumes")
            except BaseException:
                held.move_back(f"{staged}/{DATA}")
                _drop(staged)
                raise
        return True

    def copy(self, volume: Volume, source: str, heard: Heard, check: Callable[[], None]) -> None:
        """See `pyvol.core.adopting.Intake`."""
        here = self._paths.here(source)
        root = self._roots[volume.spec.pool]
        staged = f"{root}/staging/{NEW}{volume.id}"
        with _told_of(volume, source, "copy its files"), Pinned(here) as held:
            heard(0, 0)
            whole = self._measure(volume, here)
            self._refuse_too_big(volume, here, whole)
            try:
                _describe(staged, volume)
                self._fill(volume, held, f"{staged}/{DATA}", lambda done: heard(done, whole))
                _refuse_changed(volume, source, held, f"{staged}/{DESCRIPTOR}")
                check()
                moves.show(staged, volume, f"{root}/volumes")
            except BaseException:
                trees.delete_tree(staged)
                raise

    def set_aside(self, source: str) -> None:
        """See `pyvol.core.adopting.Intake`."""
        with told(f"directory {source}", "be given another name"), Pinned(self._paths.here(source)) as held:
            held.move_beside(ASIDE)

    def end(self) -> None:
        """See `pyvol.core.adopting.Intake`."""
        self._counts.end()
        self._copies.end()

    def _measure(self, volume: Volume, here: str) -> int:
        try:
            size, _, _ = self._counts.count(here, lambda _, __: None)
        except ChildProcessError as error:
            raise _not_copied(volume, str(error.strerror)) from None
        return size

    def _refuse_too_big(self, volume: Volume, here: str, size: int) -> None:
        """See that there is room for a copy, before hours of copying; on one file system blocks may be shared."""
        root = self._roots[volume.spec.pool]
        free = directories.space(root).free_bytes
        if size > free and self._mounts.device(here) != self._mounts.device(root):
            raise StorageFailed(
                f"volume {volume.name!r} is not adopted: its files take {format_bytes(size)}, and pool "
                f"{volume.spec.pool!r} has {format_bytes(free)} free: make room (`pyvol trash empty` lets go of "
                "removed volumes), or name another pool with -o pool="
            )

    def _fill(self, volume: Volume, held: Pinned, target: str, heard: Callable[[int], None]) -> None:
        trouble = self._copies.copy(held.descriptor, target, heard)
        if trouble:
            raise _not_copied(volume, trouble)


def _describe(staged: str, volume: Volume) -> None:
    os.mkdir(staged)
    os.chmod(staged, directories.DOOR_MODE)
    durable.write_new(f"{staged}/{DESCRIPTOR}", descriptor.encode(volume))
    durable.sync_directory(staged)


@contextmanager
def _told_of(volume: Volume, source: str, doing: str) -> Iterator[None]:
    with told(f"volume {volume.name!r}", doing):
        try:
            yield
        except Replaced:
            raise StorageFailed(
                f"volume {volume.name!r} is not adopted: something else was put in the place of {source} meanwhile; "
                "see who may write in the directories above it, and try again"
            ) from None


def _not_copied(volume: Volume, why: str) -> StorageFailed:
    return StorageFailed(f"volume {volume.name!r}: its files could not be copied, and stay where they are: {why}")


def _refuse_changed(volume: Volume, source: str, held: Pinned, mark: str) -> None:
    """See that nobody has written meanwhile, such as a container that came and went: it may not be in the copy."""
    changed = copying.find_changed(held.descriptor, mark)
    if changed is not None:
        raise StorageFailed(
            f"volume {volume.name!r} is not adopted: {os.path.normpath(f'{source}/{changed}')} was changed while it "
            "was copied; stop what writes there, and try again"
        )


def _drop(staged: str) -> None:
    """Take away what holds nothing but a descriptor; with data in it, it stays."""
    if os.path.lexists(f"{staged}/{DATA}"):
        return
    with suppress(FileNotFoundError):
        os.unlink(f"{staged}/{DESCRIPTOR}")
    with suppress(FileNotFoundError):
        os.rmdir(staged)
