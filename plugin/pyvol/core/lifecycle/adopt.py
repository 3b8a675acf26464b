"""Adopting: what already exists becomes a volume, in its place, by a rename, or by a copy."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from pyvol.core.concurrency.jobs import JobKind
from pyvol.core.concurrency.named_locks import NamedLocks
from pyvol.core.concurrency.task import Task
from pyvol.core.errors import BadRequest, CatalogFailed, StorageFailed, VolumeExists, VolumeInUse, naming
from pyvol.core.lifecycle.path_overlap import AdoptedDirectories
from pyvol.core.lifecycle.reconcile import Reconciler
from pyvol.core.lifecycle.volumes import Volumes
from pyvol.core.model.adoption import AdoptMethod, Asked, Kind, Plan
from pyvol.core.model.event_kind import EventKind
from pyvol.core.model.volume import NAME, Phase, Volume, VolumeSpec, check_name
from pyvol.core.ports.host import Catalog, Clock, MountTable, VolumeLog
from pyvol.core.ports.pool import Pool

REFUSED = "cannot be adopted"
ADOPT = JobKind("adopt", "bytes", at_once=4)
"""More copies at a time make no disk faster."""


class Importer(Protocol):
    """Brings directories of this host into pools of this host."""

    def find(self, source: str, kind: Kind) -> str:
        """Return the directory without symlinks, as a path of the host.

        Raises `BadOption` if pyvol may not take it.
        """
        ...

    def here(self, source: str) -> str:
        """Return the path by which this process reaches the directory."""
        ...

    def way(self, source: str, pool: str) -> AdoptMethod:
        """Return whether a rename brings the directory into a pool, or a copy.

        Raises `StorageFailed` if neither does.
        """
        ...

    def rename(self, volume: Volume, source: str) -> bool:
        """Publish the source as the volume's data, whole or not at all.

        Return False if only a copy can do it.
        """
        ...

    def copy(self, volume: Volume, source: str, task: Task, check: Callable[[], None]) -> None:
        """Publish a copy of the source as the volume's data, once it is whole and `check` has not raised.

        Reports bytes to the task. If the task is cancelled, nothing was done.
        """
        ...

    def set_aside(self, source: str) -> None:
        """Rename an engine's directory that was copied, so that nobody writes into it by mistake."""
        ...


class Adopter:
    """Makes volumes of what already exists.

    Args:
        catalog: what exists.
        pools: by name.
        importer: brings directories into the pools.
        volumes: creates volumes.
        reconciler: takes in directories that are in a pool already.
        mounts: what the kernel says is mounted.
        locks: shared with the volumes.
        adopted: the directories that volumes have adopted; shared with the volumes.
        clock: the time.
        new_id: makes a volume's id.
        log: the log.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each port by its name
        self,
        *,
        catalog: Catalog,
        pools: Mapping[str, Pool],
        importer: Importer,
        volumes: Volumes,
        reconciler: Reconciler,
        mounts: MountTable,
        locks: NamedLocks,
        adopted: AdoptedDirectories,
        clock: Clock,
        new_id: Callable[[], str],
        log: VolumeLog,
    ) -> None:
        self._catalog = catalog
        self._pools = pools
        self._importer = importer
        self._volumes = volumes
        self._reconciler = reconciler
        self._mounts = mounts
        self._locks = locks
        self._adopted = adopted
        self._clock = clock
        self._new_id = new_id
        self._log = log

    def strays(self) -> Sequence[Plan]:
        """Return the directories in this host's pools that no catalog knows: they came from another host.

        Includes names that a volume of another pool has: `plan` refuses those.
        """
        return [
            Plan(name, Kind.STRAY, AdoptMethod.STAYS, pool.name)
            for pool in self._pools.values()
            if pool.traits.adopts
            for name in self._names_in(pool)
            if NAME.fullmatch(name) and self._pool_of(name) != pool.name
        ]

    def plan(self, asked: Asked) -> Plan:
        """Return what an adoption would do.

        Raises what the adoption would raise, as far as that is known before.
        """
        name = check_name(asked.name)
        if asked.kind is Kind.STRAY:
            return self._stray(name)
        self._refuse_taken(name)
        with naming(name, REFUSED):
            spec = self._volumes.read_options(name, asked.options)
            if asked.kind is Kind.OPTIONS:
                how = AdoptMethod.STAYS if spec.path else AdoptMethod.MOUNT
                return Plan(name, asked.kind, how, spec.pool, spec.path or spec.device or "")
            source = self._importer.find(asked.source, asked.kind)
        if not spec.keeps_data or not self._pools[spec.pool].traits.adopts:
            raise BadRequest(
                REFUSED,
                "files can only be moved into a local pool",
                "leave out the options path, subdir and type, and do not choose a pool of an NFS server",
                volume=name,
            )
        self._refuse_in_use(name, source)
        return Plan(name, asked.kind, self._importer.way(source, spec.pool), spec.pool, source)

    def adopt(self, plan: Plan, options: Mapping[str, str], task: Task) -> Plan:
        """Make the volume as planned; return what was done. The source is whole until the volume is.

        Checks again what may have changed since the plan was made. Raises as `plan` does.

        Args:
            plan: from `plan`.
            options: the volume's, as `plan` got them.
            task: gets the progress of a copy, and can cancel it.
        """
        if plan.kind is Kind.STRAY:
            self._take_in(plan)
        elif plan.kind is Kind.OPTIONS:
            self._refuse_taken(plan.name)
            self._volumes.create(plan.name, options)
        else:
            with (
                naming(plan.name, REFUSED),
                self._locks.hold(plan.name),
                self._adopted.reserve(plan.name, VolumeSpec(path=plan.source)),
            ):
                self._refuse_taken(plan.name)
                plan = self._bring(plan, self._volumes.read_options(plan.name, options), task)
        self._log.event(EventKind.ADOPTED, plan.name, how=str(plan.how), source=plan.source, pool=plan.pool)
        return plan

    def _pool_of(self, name: str) -> str | None:
        known = self._catalog.find(name)
        return known.spec.pool if known else None

    def _names_in(self, pool: Pool) -> list[str]:
        try:
            return sorted(pool.listing().live)
        except StorageFailed as error:
            self._log.warning("pool not searched for volumes of other hosts", pool=pool.name, error=str(error))
            return []  # its disk is not mounted; other pools have theirs

    def _stray(self, name: str) -> Plan:
        self._refuse_taken(name)
        found = next((plan for plan in self.strays() if plan.name == name), None)
        if found is None:
            raise BadRequest(REFUSED, "no pool has an unknown directory of this name", volume=name)
        return found

    def _take_in(self, plan: Plan) -> None:
        with self._locks.hold(plan.name):
            self._refuse_taken(plan.name)
            volume = self._reconciler.take_in(self._pools[plan.pool], plan.name)
            if volume.phase is Phase.UNREADABLE:
                raise StorageFailed(
                    REFUSED,
                    "its volume.json is missing or cannot be read",
                    "copy volume.json too, or wait until the copy is complete, then try again",
                    volume=plan.name,
                )
            self._catalog.save(volume)

    def _bring(self, plan: Plan, spec: VolumeSpec, task: Task) -> Plan:
        volume = Volume(self._new_id(), plan.name, spec, self._clock().replace(microsecond=0), Phase.READY)

        def check() -> None:
            self._refuse_in_use(plan.name, plan.source)

        check()
        if plan.how is AdoptMethod.RENAME and not self._importer.rename(volume, plan.source):
            plan = msgspec.structs.replace(plan, how=AdoptMethod.COPY)
        if plan.how is AdoptMethod.COPY:
            self._importer.copy(volume, plan.source, task, check)
        try:
            self._catalog.save(volume)
        except CatalogFailed as error:
            # To move the files back could fail as well; where they are, the next start finds them.
            raise CatalogFailed(
                "is in the pool, and complete, but not in the catalog",
                error.cause or error.what,
                "restart pyvol, which adds it",
                volume=plan.name,
            ) from error
        if plan.how is AdoptMethod.COPY and plan.kind is Kind.ENGINE:
            self._set_aside(plan)
        return plan

    def _set_aside(self, plan: Plan) -> None:
        try:
            self._importer.set_aside(plan.source)
        except StorageFailed as error:
            self._log.warning("the copied directory keeps its name", volume=plan.name, error=str(error))

    def _refuse_taken(self, name: str) -> None:
        pool = self._pool_of(name)
        if pool is not None:
            raise VolumeExists(
                REFUSED,
                f"pool {pool!r} has a volume of this name",
                "choose another name, or rename that volume with `pyvol rename`",
                volume=name,
            )
        now = self._catalog.find_former(name)
        if now is not None:
            raise VolumeExists("was renamed", f"its name is {now.name!r} now", "choose another name", volume=name)

    def _refuse_in_use(self, name: str, source: str) -> None:
        users = self._mounts.users(self._importer.here(source))
        if users:
            user = users[0]
            raise VolumeInUse(
                REFUSED,
                f"{user.command} (pid {user.pid}) has {source} mounted at {user.mountpoint}",
                "stop the container first",
                volume=name,
            )
