"""The core as the daemon makes it, over a real catalog and a real local pool, in the process of the test."""

import itertools
import json
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from flask import Blueprint, Flask

from catalogs import StagedCatalog
from deadline import PATIENCE_S
from fakes import FakeAccounts, FakeClock, FakeLog, FakeMounts
from pyvol.api import docker
from pyvol.api.v1.routes import control_api
from pyvol.catalog.usages import UsageStore
from pyvol.core.concurrency.task import Task
from pyvol.core.lifecycle.trash import Emptied
from pyvol.core.model.adoption import Asked, Plan
from pyvol.core.model.volume import Volume
from pyvol.core.ports.pool import Pool, SharedPool
from pyvol.core.service import Policy, Ports, Service
from pyvol.core.status.events import Events
from pyvol.core.status.hints import DAEMON, Hints
from pyvol.core.status.usage import Count
from pyvol.daemon.app import create_app
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.local.import_dir import DirectoryImporter
from pyvol.storage.local.pool import LocalPool
from pyvol.storage.paths.allowed import AdoptablePaths
from pyvol.storage.paths.mapping import MappedDirectories

KEEP = timedelta(days=7)


class House:
    """A host with pyvol on it.

    Args:
        root: an empty directory, or the directory of an earlier house, whose daemon then starts again.
        pools: the pools of this host alone, by name; the default is one real pool in `root`.
        shared: the pools that other hosts share, by name.
        boot: the kernel's boot id.
        kernel: the mounts of the host; they outlive a daemon.
        clock: the time of the host; it outlives a daemon too.
        hints: what its hints tell a user to do.
        min_free_percent: below this much free space a pool loses its trash early.
        lock_wait_s: how long a request waits for a volume that another request has.
        collect_garbage: called when there is something to delete; the default counts these calls.
        count: counts a directory; the default records what it was asked for.
    """

    _serials = itertools.count(1)
    _open: ClassVar[list["House"]] = []

    def __init__(
        self,
        root: Path,
        *,
        pools: Mapping[str, Pool] | None = None,
        shared: Mapping[str, SharedPool] | None = None,
        boot: str = "boot-1",
        kernel: FakeMounts | None = None,
        clock: FakeClock | None = None,
        hints: Hints = DAEMON,
        min_free_percent: float = 0.0,
        lock_wait_s: float = 5.0,
        collect_garbage: Callable[[], None] | None = None,
        count: Count | None = None,
    ) -> None:
        self.root = root
        self.state = root / "state"
        self.state.mkdir(exist_ok=True)
        self.kernel = kernel or FakeMounts()
        self.clock = clock or FakeClock()
        self.log = FakeLog()
        self.woken = 0
        self.catalog = StagedCatalog(self.state, boot)
        self._open.append(self)
        local = dict(pools) if pools is not None else {"default": self._real_pool("default", root / "pool")}
        self.counted: list[tuple[str, float]] = []
        paths = AdoptablePaths([str(root / "pool"), str(self.state)], [], KernelMounts())
        self.importer = DirectoryImporter({"default": str(root / "pool")}, paths, KernelMounts())
        core = Service(
            Ports(
                catalog=self.catalog,
                local_pools=local,
                shared_pools=dict(shared or {}),
                servers=dict,
                mounts=self.kernel,
                path_mapping=MappedDirectories(),
                accounts=FakeAccounts(),
                importer=self.importer,
                usage_store=UsageStore(self.state, self.log),
                count=count or self._count,
                clock=self.clock,
                monotonic=time.monotonic,
                since_boot=self.clock.steady,
                new_id=self.new_id,
                log=self.log,
                collect_garbage=collect_garbage or self._wake,
            ),
            Policy(
                trash_keep=KEEP,
                trash_min_free=min_free_percent,
                usage_every=timedelta(hours=6),
                lock_wait_s=lock_wait_s,
                hints=hints,
            ),
        )
        core.reconciler.run()
        self.core = core
        self.pools, self.locks, self.shared_pools = core.pools, core.locks, core.shared_pools
        self.volumes, self.volume_status, self.usages = core.volumes, core.volume_status, core.usages
        self.trash, self.purge, self.doctor = core.trash, core.purge, core.doctor
        self.renaming, self.adopting = core.renamer, core.adopter

    def app(self) -> Flask:
        """Return the Flask app over this house."""
        return create_app(
            self.log,
            docker.blueprint(self.volumes, self.volume_status, "local"),
            *self.control_api(),
        )

    def control_api(self) -> tuple[Blueprint, ...]:
        """The routes of the control API."""
        return control_api(self.core, Events(self.clock, "life"))

    def reopened(self, boot: str = "boot-1") -> "House":
        """Return a new daemon on the same directories, as after a restart."""
        self.close()
        pools = None if isinstance(self.pools["default"], LocalPool) else self.pools
        return House(self.root, pools=pools, boot=boot, kernel=self.kernel, clock=self.clock)

    def close(self) -> None:
        """Stop the daemon."""
        self.core.jobs.stop()
        self.core.jobs.join(PATIENCE_S)
        self.catalog.close()

    @classmethod
    def count_open(cls) -> int:
        """Return how many houses have been opened and not closed by `close_after`."""
        return len(cls._open)

    @classmethod
    def close_after(cls, number: int) -> None:
        """Close all houses except the first ones."""
        while len(cls._open) > number:
            cls._open.pop().close()

    def reap(self) -> None:
        """Do what the garbage collector of the daemon does."""
        self.catalog.save_generation()
        self.expire()
        for pool in self.pools.values():
            self.purge.purge(pool)

    def empty(self, *names: str, kept_too: bool = False) -> Emptied:
        """Empty the trash, as a job does."""
        return self.trash.empty(self.trash.choose(names, kept_too=kept_too), Task())

    def expire(self) -> Emptied:
        """Delete from the trash what has expired, as the daemon's background thread does."""
        return self.trash.expire(Task())

    def adopt(self, asked: Asked) -> Plan:
        """Adopt something, as a job does."""
        return self.adopting.adopt(self.adopting.plan(asked), asked.options, Task())

    def names(self) -> list[str]:
        """Return the names of the volumes, as List does."""
        return [volume.name for volume in self.volumes.all()]

    def data(self, name: str) -> Path:
        """Return the directory that a container of the volume sees."""
        return Path(self.volumes.mountpoint(self.volumes.get(name)))

    def manifest(self, name: str) -> dict[str, object]:
        """Return the volume's manifest on disk."""
        found: dict[str, object] = json.loads((self.root / "pool/volumes" / name / "volume.json").read_text())
        return found

    @classmethod
    def new_id(cls) -> str:
        """Return an id for a volume, unique in this run."""
        return f"{next(cls._serials):016x}"

    def _real_pool(self, name: str, root: Path) -> Pool:
        pool = LocalPool(name, str(root), "host-1", AdoptablePaths([str(root), str(self.state)], [], KernelMounts()))
        pool.prepare()
        return pool

    def _count(
        self, path: str, _: Task, on_progress: Callable[[int, int], None], per_second: float
    ) -> tuple[int, int, str]:
        """Count nothing, and record the request."""
        on_progress(1, 1)
        self.counted.append((path, per_second))
        return 4096, 2, ""

    def _wake(self) -> None:
        self.woken += 1


def removed(house: House, name: str = "v", text: str = "kept") -> Volume:
    """Create a volume with a file, and remove it."""
    house.volumes.create(name, None)
    (house.data(name) / "file").write_text(text)
    house.volumes.remove(name)
    return house.trash.all()[0]
