"""The lifecycle of a volume, as an engine calls it: create, get, mount, unmount, remove.

Read it from the top down.

Each verb takes the volume's lock, reads the catalog, acts through the pool, and commits to the catalog before
it answers. `get`, `all` and `mountpoint` take no lock and touch no storage: they answer from the catalog
(promise 1).
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from operator import attrgetter

import msgspec

from pyvol.core.concurrency.bulkhead import Bulkhead
from pyvol.core.concurrency.named_locks import NamedLocks
from pyvol.core.errors import Busy, NameTaken, NoSuchVolume, StorageFailed, VolumeExists, naming
from pyvol.core.lifecycle import claims, removal
from pyvol.core.lifecycle.detach import Detacher
from pyvol.core.lifecycle.path_overlap import AdoptedDirectories
from pyvol.core.lifecycle.pool_lookup import mountpoint_of, pool_named, pool_of
from pyvol.core.lifecycle.rollback import rolling_back
from pyvol.core.lifecycle.shared_pools import SharedPools
from pyvol.core.model import labels, options
from pyvol.core.model.event_kind import EventKind
from pyvol.core.model.option_values import Accounts, Context
from pyvol.core.model.volume import DEFAULT_POOL, Phase, Volume, VolumeSpec, check_name
from pyvol.core.ports.host import Catalog, Clock, MountTable, PathMapping, VolumeLog
from pyvol.core.ports.pool import Pool


class Volumes:
    """The volumes of this host.

    Args:
        catalog: what exists and what is promised.
        pools: all pools by name, the default pool too.
        mounts: the kernel's tables of mounts.
        path_mapping: the paths by which others know our directories.
        accounts: this host's users and groups, for `uid` and `gid`.
        clock: the time.
        new_id: returns a new id for a volume.
        log: the log.
        locks: the locks of the volumes.
        bulkhead: limits the threads that wait for storage outside the pools.
        detacher: detaches volumes after their last claim.
        trash_keep: how long a removed volume can be undeleted.
        collect_garbage: called when there is something to delete in the background.
        shared_pools: the pools that other hosts share.
        adopted: the directories that volumes have adopted.
        default_pool: the pool of volumes that name none.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each port by its name
        self,
        *,
        catalog: Catalog,
        pools: Mapping[str, Pool],
        mounts: MountTable,
        path_mapping: PathMapping,
        accounts: Accounts,
        clock: Clock,
        new_id: Callable[[], str],
        log: VolumeLog,
        locks: NamedLocks,
        bulkhead: Bulkhead,
        detacher: Detacher,
        trash_keep: timedelta,
        collect_garbage: Callable[[], None],
        shared_pools: SharedPools,
        adopted: AdoptedDirectories,
        default_pool: str = DEFAULT_POOL,
    ) -> None:
        self._catalog = catalog
        self._pools = pools
        self._mounts = mounts
        self._path_mapping = path_mapping
        self._context = Context(pools.keys(), accounts, default_pool)
        self._shared_pools = shared_pools
        self._adopted = adopted
        self._clock = clock
        self._new_id = new_id
        self._log = log
        self._locks = locks
        self._trash_keep = trash_keep
        self._collect_garbage = collect_garbage
        self._bulkhead = bulkhead
        self._detacher = detacher

    def activate(self) -> None:
        """Open a generation: the engine may have restarted (engine facts 8 and 10). Never fails."""
        generation = self._catalog.next_generation()
        self._collect_garbage()  # it makes that durable: an engine's start may not wait for a disk (fact 33)
        self._log.debug("engine activated the plugin", generation=generation)

    def create(self, name: str, opts: Mapping[str, str] | None) -> None:
        """Create a volume. Succeed if it exists with the same options (engine fact 12)."""
        check_name(name)
        with naming(name, "cannot be created"):
            asked = self._parse(name, opts)
            existing = self._catalog.find(name)
            if existing is not None and existing.spec == asked:
                return
            spec = self._check(name, asked)  # it may wait for the storage of a path, so it runs without a lock
            with self._locks.hold(name), self._adopted.reserve(name, spec):
                self._create(name, spec)

    def read_options(self, name: str, opts: Mapping[str, str]) -> VolumeSpec:
        """Return the spec that `create` would make of options. Raise `BadOption` if `create` would."""
        return self._check(name, self._parse(check_name(name), opts))

    def get(self, name: str) -> Volume:
        """Return a volume. Raise `NoSuchVolume` if there is none."""
        volume = self._catalog.find(check_name(name)) or self._shared_pools.look_up(name)
        if volume is None:
            now = self._catalog.find_former(name)
            raise NoSuchVolume(name, now.name if now else None)
        return volume

    def catch_up(self) -> None:
        """Learn what other hosts have created and removed. Waits for a moment at most."""
        self._shared_pools.refresh()

    def all(self) -> list[Volume]:
        """Return all volumes, by name."""
        return sorted(self._catalog.live(), key=attrgetter("name"))

    @property
    def changes(self) -> int:
        """Return a number that changes with each change of what `all` returns."""
        return self._catalog.changes

    def mountpoint(self, volume: Volume) -> str:
        """Return the engine's path of the directory that a container sees. Does no I/O."""
        return self._path_mapping.engine_path(mountpoint_of(self._pools, volume))

    def mount(self, name: str, mount_id: str, is_awaited: Callable[[], bool] | None = None) -> str:
        """Claim the volume for one more Mount, and return its mountpoint.

        `is_awaited` returns whether the engine still waits for the answer: an engine that gave up sends no
        Unmount.
        """
        claims.check_mount_id(check_name(name), mount_id)
        with self._locks.hold(name):
            mountpoint = self._shared_pools.on_current(self._readable(name, "mounted"), self._attach)
            if is_awaited is not None and not is_awaited():
                self._detacher.detach(name)
                raise Busy("was mounted too late", "its engine had given up", "start the container again", volume=name)
            claim = claims.after_mount(
                self._catalog.claim(name, mount_id), name, mount_id, self._catalog.generation, self._clock()
            )
            self._catalog.save_claim(claim)
        self._log.event(EventKind.MOUNTED, name, mount_id=mount_id, count=claim.count)
        return mountpoint

    def unmount(self, name: str, mount_id: str) -> None:
        """Release one Mount. Succeed also without a claim or a volume (engine facts 9 and 37)."""
        claims.check_mount_id(check_name(name), mount_id)
        with self._locks.hold(name):
            claim = self._catalog.claim(name, mount_id)
            left = claims.after_unmount(claim, self._catalog.generation)
            if left is not None:
                self._catalog.save_claim(left)
            elif claim is not None:
                self._catalog.drop_claim(claim)
            self._detacher.detach(name)  # without a claim too: a copy may have taken the container's (fact 7)
        if claim is not None:
            self._log.event(EventKind.UNMOUNTED, name, mount_id=mount_id, count=left.count if left else 0)

    def remove(self, name: str, *, undoable: bool = False) -> None:
        """Remove the volume as its options say. Succeed if there is none: an engine may retry.

        An undoable removal goes into the trash even if the options say otherwise. It does not come from an
        engine, and an engine may be about to use what it has just mounted: so a claim forbids it.
        """
        with self._locks.hold(check_name(name)):
            volume = self._catalog.find(name) or self._shared_pools.look_up(name)
            if volume is None:
                return
            if volume.spec.protect:  # another host may have lifted the protection
                volume = self._shared_pools.current(volume)
            self._shared_pools.on_current(volume, partial(self._remove, undoable=undoable))

    def change(self, name: str, opts: Mapping[str, str], changes: Mapping[str, str | None] | None = None) -> Volume:
        """Change options and labels of a volume. Ownership takes effect at the next Mount."""
        with self._locks.hold(check_name(name)):
            volume = self._shared_pools.current(self._readable(name, "changed"))
            with naming(name, "cannot be changed"):
                spec = options.change(volume.spec, opts, self._context)
                written = labels.change(volume.labels, changes or {})
            changed = msgspec.structs.replace(volume, spec=spec, labels=written)
            pool = pool_of(self._pools, volume)
            pool.write_manifest(changed)
            with rolling_back(lambda: pool.write_manifest(volume), name, self._log):
                self._catalog.save(changed)
        self._log.event(EventKind.CHANGED, name, options=dict(opts), labels=labels.shown(written))
        return changed

    def _readable(self, name: str, done: str) -> Volume:
        volume = self.get(name)
        if volume.phase is Phase.UNREADABLE:
            raise StorageFailed(
                f"cannot be {done}", "its volume.json cannot be read", "`pyvol doctor` says how to fix it", volume=name
            )
        return volume

    def _parse(self, name: str, opts: Mapping[str, str] | None) -> VolumeSpec:
        return options.with_name(options.parse(opts, self._context), name, self._context)

    def _check(self, name: str, asked: VolumeSpec) -> VolumeSpec:
        pool = pool_named(self._pools, asked.pool)
        with self._bulkhead.acquire(pool.foreign_mount(asked), name):
            return pool.check(asked)

    def _create(self, name: str, spec: VolumeSpec) -> None:
        existing = self._catalog.find(name)
        if existing is not None:
            self._refuse_other(existing, spec)
            return
        now = self._catalog.find_former(name)
        if now is not None:  # otherwise a user of the old name would start again with an empty volume
            raise VolumeExists(
                "was renamed",
                f"its name is {now.name!r} now",
                f"use that name, or undo the renaming with `pyvol rename {now.name} {name}`",
                volume=name,
            )
        volume = Volume(self._new_id(), name, spec, self._clock().replace(microsecond=0), Phase.READY)
        pool = pool_of(self._pools, volume)
        try:
            undo = pool.provision(volume)
        except NameTaken:
            found = self._shared_pools.take_in(spec.pool, name)
            if found is None:
                raise
            self._refuse_other(found, spec)  # another host was first
            return
        with rolling_back(undo, name, self._log):
            self._adopted.check_reserved(name, spec)
            self._catalog.save(volume)
        self._log.event(EventKind.CREATED, name, pool=spec.pool, options=options.shown(spec))

    def _refuse_other(self, existing: Volume, spec: VolumeSpec) -> None:
        if existing.spec != spec:
            raise VolumeExists(
                "exists with other options",
                options.differences(existing.spec, spec),
                "use it as it is, or choose another name",
                volume=existing.name,
            )

    def _attach(self, volume: Volume) -> str:
        try:
            pool = pool_of(self._pools, volume)
            with self._bulkhead.acquire(pool.foreign_mount(volume.spec), volume.name):
                mountpoint = self._path_mapping.show(pool.attach(volume), volume.name)
        except StorageFailed as error:
            self._detacher.degraded[volume.id] = str(error)
            raise
        self._detacher.degraded.pop(volume.id, None)
        return mountpoint

    def _remove(self, volume: Volume, *, undoable: bool) -> None:
        name = volume.name
        removal.refuse_protected(volume)
        pool = pool_of(self._pools, volume)
        if undoable:
            removal.refuse_claimed(volume, self._catalog.claims(name), self._catalog.generation)
        with self._bulkhead.acquire(pool.foreign_mount(volume.spec), name):
            removal.refuse_in_use(volume, self._mounts.users(pool.mountpoint(volume)))
        trashed = removal.trashed(volume, self._clock(), self._trash_keep)
        in_trash, undo = pool.remove(volume, trashed if undoable or not removal.is_permanent(volume) else None)
        with rolling_back(undo, name, self._log):
            if in_trash:
                self._catalog.save(trashed)
            else:
                self._catalog.forget(volume)
        self._detacher.degraded.pop(volume.id, None)
        if in_trash:
            self._log.event(EventKind.REMOVED, name, id=volume.id, until=trashed.until)
        else:
            self._collect_garbage()
            self._log.event(EventKind.REMOVED, name, permanent="true")
