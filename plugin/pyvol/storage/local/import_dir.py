"""Makes directories of this host the data of volumes: see `pyvol.core.lifecycle.adopt.Importer`.

A rename goes through `staging/taken-<id>/`, which has the manifest before it gets the data: after a crash in
between, the next start publishes it as the volume. A copy grows in `staging/new-<id>/`, which the next start
deletes.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

from pyvol.core.concurrency.task import Task
from pyvol.core.errors import BadOption, StorageFailed
from pyvol.core.lifecycle.adopt import REFUSED
from pyvol.core.model.adoption import AdoptMethod, Kind
from pyvol.core.model.units import format_bytes
from pyvol.core.model.volume import Volume
from pyvol.core.status.usage import Count
from pyvol.host.files import copy_tree, delete_tree, directories, disk_usage, durable
from pyvol.host.files.pinned_directory import PinnedDirectory, Replaced
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.layout import DATA, MANIFEST, NEW, STAGING, TAKEN, VOLUMES
from pyvol.storage.local import manifest, moves
from pyvol.storage.os_errors import storage_errors
from pyvol.storage.paths.allowed import AdoptablePaths

NOT_COPIED = "cannot be copied into the pool, and its files stay where they are"
ASIDE = ".adopted"
"""Appended to the name of an engine's directory that was copied; the engine deletes it with its volume."""


class Files(NamedTuple):
    """What an import does with files.

    Attributes:
        pin: opens a directory and keeps it open.
        can_rename: see `copy_tree.on_one_mount`.
        copy: see `copy_tree.copy`.
        measure: see `disk_usage.count`.
    """

    pin: Callable[[str], PinnedDirectory] = PinnedDirectory
    can_rename: Callable[[str, str], bool] = copy_tree.on_one_mount
    copy: Callable[[int, str, Task, Callable[[int], None]], str] = copy_tree.copy
    measure: Count = disk_usage.count


class DirectoryImporter:
    """Brings directories into the local pools. Implements `pyvol.core.lifecycle.adopt.Importer`.

    Args:
        roots: the local pools' directories, by the pools' names.
        paths: the rules for directories of this host.
        mounts: what is mounted.

    Attributes:
        files: what it does with files.
    """

    def __init__(self, roots: Mapping[str, str], paths: AdoptablePaths, mounts: KernelMounts) -> None:
        self._roots = roots
        self._paths = paths
        self._mounts = mounts
        self.files = Files()

    def find(self, source: str, kind: Kind) -> str:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        if not source.startswith("/") or not source.isprintable():
            raise BadOption(f"{source!r} is not an absolute path of printable characters", hint="start the path with /")
        return self._paths.resolve_engines(source) if kind is Kind.ENGINE else self._paths.resolve(source)

    def here(self, source: str) -> str:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        return self._paths.here(source)

    def way(self, source: str, pool: str) -> AdoptMethod:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        here = self._paths.here(source)
        with storage_errors(f"directory {source} cannot be adopted"):
            below = self._mounts.below(here)
            if below:
                raise StorageFailed(
                    f"directory {source} cannot be adopted", f"something is mounted at {below[0]}", "unmount it first"
                )
            can_rename = self.files.can_rename(here, f"{self._roots[pool]}/{STAGING}")
            return AdoptMethod.RENAME if can_rename else AdoptMethod.COPY

    def rename(self, volume: Volume, source: str) -> bool:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        root = self._roots[volume.spec.pool]
        staged = f"{root}/{STAGING}/{TAKEN}{volume.id}"
        with _import_errors(volume, source), self.files.pin(self._paths.here(source)) as held:
            try:
                _write_manifest(staged, volume)
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

    def copy(self, volume: Volume, source: str, task: Task, check: Callable[[], None]) -> None:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        here = self._paths.here(source)
        root = self._roots[volume.spec.pool]
        staged = f"{root}/{STAGING}/{NEW}{volume.id}"
        with _import_errors(volume, source), self.files.pin(here) as held:
            task.report(0, 0, "measuring")
            whole = self._measure(volume, here, task)
            self._refuse_too_big(volume, here, whole)
            try:
                _write_manifest(staged, volume)
                self._fill(volume, held, f"{staged}/{DATA}", task, whole)
                _refuse_changed(volume, source, held, f"{staged}/{MANIFEST}")
                check()
                _refuse_cancelled(volume, task)
                moves.publish(staged, volume, f"{root}/{VOLUMES}")
            except BaseException:
                delete_tree.delete_tree(staged)
                raise

    def set_aside(self, source: str) -> None:
        """See `pyvol.core.lifecycle.adopt.Importer`."""
        with (
            storage_errors(f"directory {source} cannot be renamed"),
            self.files.pin(self._paths.here(source)) as held,
        ):
            held.move_beside(ASIDE)

    def _measure(self, volume: Volume, here: str, task: Task) -> int:
        try:
            size, _, _ = self.files.measure(here, task, lambda _, __: None, 0)
        except ChildProcessError as error:
            raise StorageFailed(NOT_COPIED, str(error.strerror), volume=volume.name) from None
        return size

    def _refuse_too_big(self, volume: Volume, here: str, size: int) -> None:
        """Raise StorageFailed if there is no room for a copy.

        On one file system, cp may share blocks: then try it.
        """
        root = self._roots[volume.spec.pool]
        free = directories.space(root).free_bytes
        if size > free and self._mounts.device(here) != self._mounts.device(root):
            raise StorageFailed(
                REFUSED,
                f"its files take {format_bytes(size)}, and pool {volume.spec.pool!r} has {format_bytes(free)} free",
                "make room (`pyvol trash empty` deletes removed volumes), or choose another pool with -o pool=",
                volume=volume.name,
            )

    def _fill(self, volume: Volume, held: PinnedDirectory, target: str, task: Task, whole: int) -> None:
        def on_progress(done: int) -> None:
            task.report(done, whole, "copying")

        problem = self.files.copy(held.descriptor, target, task, on_progress)
        if problem:
            raise StorageFailed(NOT_COPIED, problem, volume=volume.name)


def _write_manifest(staged: str, volume: Volume) -> None:
    os.mkdir(staged)
    os.chmod(staged, directories.PASS_THROUGH_MODE)
    durable.write_new(f"{staged}/{MANIFEST}", manifest.encode(volume))
    durable.sync_directory(staged)


@contextmanager
def _import_errors(volume: Volume, source: str) -> Iterator[None]:
    with storage_errors(REFUSED, volume=volume.name):
        try:
            yield
        except Replaced:
            raise StorageFailed(
                REFUSED,
                f"{source} was replaced by another directory",
                "check who may write to the directories above it, then try again",
                volume=volume.name,
            ) from None


def _refuse_cancelled(volume: Volume, task: Task) -> None:
    if task.must_end():
        raise StorageFailed(NOT_COPIED, task.reason, volume=volume.name)


def _refuse_changed(volume: Volume, source: str, held: PinnedDirectory, mark: str) -> None:
    """Raise StorageFailed if somebody wrote during the copy.

    A short-lived container may have done so, and the copy may lack what it wrote.
    """
    changed = copy_tree.find_changed(held.descriptor, mark)
    if changed is not None:
        raise StorageFailed(
            REFUSED,
            f"{os.path.normpath(f'{source}/{changed}')} was changed during the copy",
            "stop what writes there, then try again",
            volume=volume.name,
        )


def _drop(staged: str) -> None:
    """Delete a directory that holds nothing but a manifest.

    If it has data, or that is not known, it stays.
    """
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
