"""Directories of this host that become the data of volumes: see `pyvol.core.lifecycle.adopt.Importer`.

A rename goes by way of `staging/taken-<id>/`, which has the descriptor before it gets the data: where a crash falls in
between, the next start shows it as the volume. A copy grows in `staging/new-<id>/`, which the next start deletes.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.lifecycle.adopt import OnProgress
from pyvol.core.model.adoption import AdoptMethod, Kind
from pyvol.core.model.units import format_bytes
from pyvol.core.model.volume import Volume
from pyvol.host.files import copy_tree, delete_tree, directories, disk_usage, durable
from pyvol.host.files.pinned_directory import PinnedDirectory, Replaced
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.layout import DATA, MANIFEST, NEW, STAGING, TAKEN, VOLUMES
from pyvol.storage.local import manifest, moves
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.paths.allowed import AdoptablePaths

ASIDE = ".adopted"
"""What is put behind the name of an engine's directory that was copied; it goes when the engine removes its volume."""


class DirectoryImporter:
    """Brings directories into the local pools. Implements `pyvol.core.lifecycle.adopt.Importer`.

    Args:
        roots: the local pools' directories, by the pools' names.
        paths: the rules for directories of this host.
        mounts: what is mounted.
    """

    def __init__(self, roots: Mapping[str, str], paths: AdoptablePaths, mounts: KernelMounts) -> None:
        self._roots = roots
        self._paths = paths
        self._mounts = mounts
        self._counts = disk_usage.Counts()
        self._copies = copy_tree.Copies()

    def find(self, source: str, kind: Kind) -> str:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        if not source.startswith("/") or not source.isprintable():
            raise BadOption(f"{source!r} is no absolute path that can be shown: name the directory so")
        return self._paths.resolve_engines(source) if kind is Kind.ENGINE else self._paths.resolve(source)

    def here(self, source: str) -> str:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        return self._paths.here(source)

    def way(self, source: str, pool: str) -> AdoptMethod:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        here = self._paths.here(source)
        with storage_errors(f"directory {source}", "look at it"):
            below = [m.mountpoint for m in self._mounts.read("self") if m.mountpoint.startswith(f"{here}/")]
            if below:
                raise StorageFailed(f"directory {source}: something is mounted in it, at {below[0]}: unmount it first")
            return (
                AdoptMethod.RENAME
                if copy_tree.on_one_mount(here, f"{self._roots[pool]}/{STAGING}")
                else AdoptMethod.COPY
            )

    def rename(self, volume: Volume, source: str) -> bool:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        root = self._roots[volume.spec.pool]
        staged = f"{root}/{STAGING}/{TAKEN}{volume.id}"
        with _told_of(volume, source, "move its files"), PinnedDirectory(self._paths.here(source)) as held:
            try:
                _describe(staged, volume)
                durable.sync_directory(f"{root}/{STAGING}")
                held.move(f"{staged}/{DATA}")
            except OSError as error:
                _drop(staged)
                if error.errno == errno.EXDEV:
                    return False
                raise
            try:
                moves.publish(staged, volume, f"{root}/{VOLUMES}")
            except BaseException:
                held.move_back(f"{staged}/{DATA}")
                _drop(staged)
                raise
        return True

    def copy(self, volume: Volume, source: str, on_progress: OnProgress, check: Callable[[], None]) -> None:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        here = self._paths.here(source)
        root = self._roots[volume.spec.pool]
        staged = f"{root}/{STAGING}/{NEW}{volume.id}"
        with _told_of(volume, source, "copy its files"), PinnedDirectory(here) as held:
            on_progress(0, 0)
            whole = self._measure(volume, here)
            self._refuse_too_big(volume, here, whole)
            try:
                _describe(staged, volume)
                self._fill(volume, held, f"{staged}/{DATA}", lambda done: on_progress(done, whole))
                _refuse_changed(volume, source, held, f"{staged}/{MANIFEST}")
                check()
                moves.publish(staged, volume, f"{root}/{VOLUMES}")
            except BaseException:
                delete_tree.delete_tree(staged)
                raise

    def set_aside(self, source: str) -> None:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        with (
            storage_errors(f"directory {source}", "be given another name"),
            PinnedDirectory(self._paths.here(source)) as held,
        ):
            held.move_beside(ASIDE)

    def end(self) -> None:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
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

    def _fill(self, volume: Volume, held: PinnedDirectory, target: str, on_progress: Callable[[int], None]) -> None:
        trouble = self._copies.copy(held.descriptor, target, on_progress)
        if trouble:
            raise _not_copied(volume, trouble)


def _describe(staged: str, volume: Volume) -> None:
    os.mkdir(staged)
    os.chmod(staged, directories.DOOR_MODE)
    durable.write_new(f"{staged}/{MANIFEST}", manifest.encode(volume))
    durable.sync_directory(staged)


@contextmanager
def _told_of(volume: Volume, source: str, doing: str) -> Iterator[None]:
    with storage_errors(f"volume {volume.name!r}", doing):
        try:
            yield
        except Replaced:
            raise StorageFailed(
                f"volume {volume.name!r} is not adopted: something else was put in the place of {source} meanwhile; "
                "see who may write in the directories above it, and try again"
            ) from None


def _not_copied(volume: Volume, why: str) -> StorageFailed:
    return StorageFailed(f"volume {volume.name!r}: its files could not be copied, and stay where they are: {why}")


def _refuse_changed(volume: Volume, source: str, held: PinnedDirectory, mark: str) -> None:
    """See that nobody has written meanwhile, such as a container that came and went: it may not be in the copy."""
    changed = copy_tree.find_changed(held.descriptor, mark)
    if changed is not None:
        raise StorageFailed(
            f"volume {volume.name!r} is not adopted: {os.path.normpath(f'{source}/{changed}')} was changed while it "
            "was copied; stop what writes there, and try again"
        )


def _drop(staged: str) -> None:
    """Delete a directory that holds nothing but a manifest. If it has data, or that is not known, it stays."""
    try:
        os.lstat(f"{staged}/{DATA}")
    except FileNotFoundError:
        pass
    except OSError:  # the caller raises the error that it already has
        return
    else:
        return
    with suppress(FileNotFoundError):
        os.unlink(f"{staged}/{MANIFEST}")
    with suppress(FileNotFoundError):
        os.rmdir(staged)
