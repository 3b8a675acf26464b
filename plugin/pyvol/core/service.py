"""The core, wired: the one place that makes its parts and hands them to each other.

The daemon and the tests call it.

It may know every package of the core, and no class outside of it: what the core needs from there are the
ports.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta

import msgspec

from pyvol.core.concurrency.bulkhead import WAIT_S, Bulkhead
from pyvol.core.concurrency.jobs import Jobs
from pyvol.core.concurrency.named_locks import NamedLocks
from pyvol.core.lifecycle.adopt import Adopter, Importer
from pyvol.core.lifecycle.detach import Detacher
from pyvol.core.lifecycle.engine_restart import EngineRestartDetector
from pyvol.core.lifecycle.path_overlap import AdoptedDirectories
from pyvol.core.lifecycle.purge import Purge
from pyvol.core.lifecycle.reconcile import Reconciler
from pyvol.core.lifecycle.rename import Renamer
from pyvol.core.lifecycle.shared_pools import SharedPools
from pyvol.core.lifecycle.trash import Trash
from pyvol.core.lifecycle.volumes import Volumes
from pyvol.core.model.option_values import Accounts
from pyvol.core.model.volume import DEFAULT_POOL
from pyvol.core.ports.host import Catalog, Clock, Monotonic, MountTable, PathMapping, VolumeLog
from pyvol.core.ports.pool import Pool, SharedPool
from pyvol.core.status.doctor import Doctor
from pyvol.core.status.hints import DAEMON, Hints
from pyvol.core.status.metrics import VolumeMetrics
from pyvol.core.status.usage import Count, Store, Usages
from pyvol.core.status.volume_status import VolumeStatus


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """What the core needs from outside.

    Attributes:
        catalog: what exists and what is promised.
        local_pools: the pools of this host alone, by name.
        shared_pools: the pools that other hosts have too, by name.
        servers: returns for each NFS server, by host and port, whether it answers.
        mounts: what the kernel says is mounted.
        path_mapping: the paths by which the engine and the host know our directories.
        accounts: this host's users and groups.
        importer: brings directories of this host into its pools.
        usage_store: keeps the counts of what volumes take.
        count: counts a directory.
        clock: the time.
        monotonic: seconds that nobody can set, without the time in which the host is suspended.
        since_boot: seconds that nobody can set, and that include the time in which the host is suspended.
        new_id: returns a new id for a volume.
        log: the log.
        collect_garbage: called when there is something to delete in the background.
    """

    catalog: Catalog
    local_pools: Mapping[str, Pool]
    shared_pools: Mapping[str, SharedPool]
    servers: Callable[[], Mapping[tuple[str, str], bool]]
    mounts: MountTable
    path_mapping: PathMapping
    accounts: Accounts
    importer: Importer
    usage_store: Store
    count: Count
    clock: Clock
    monotonic: Monotonic
    since_boot: Monotonic
    new_id: Callable[[], str]
    log: VolumeLog
    collect_garbage: Callable[[], None]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings decide.

    Attributes:
        trash_keep: how long a removed volume can be undeleted.
        trash_min_free: below this much free space in a pool, in percent, pyvol deletes its trash early.
        usage_every: how old a count may be; zero: pyvol counts only what it is asked for.
        default_pool: the pool of volumes that name none.
        lock_wait_s: how long a request waits for a volume that another request has.
        hints: how hints name what a user does to this pyvol.
    """

    trash_keep: timedelta
    trash_min_free: float
    usage_every: timedelta
    default_pool: str = DEFAULT_POOL
    lock_wait_s: float = WAIT_S
    hints: Hints = DAEMON


class Service:
    """The core of one daemon.

    Args:
        ports: what it needs from outside.
        policy: what the settings decide.
    """

    def __init__(self, ports: Ports, policy: Policy) -> None:
        catalog, mounts, clock, log = ports.catalog, ports.mounts, ports.clock, ports.log
        pools: dict[str, Pool] = {**ports.local_pools, **ports.shared_pools}
        self.pools = pools
        self.locks = locks = NamedLocks(ports.monotonic, policy.lock_wait_s)
        self.shared_pools = SharedPools(catalog, ports.shared_pools, locks, log)
        self.adopted = AdoptedDirectories(catalog, locks, self.shared_pools)
        self.reconciler = Reconciler(
            catalog=catalog, pools=ports.local_pools, clock=clock, new_id=ports.new_id, log=log
        )
        self.detacher = Detacher(catalog=catalog, pools=pools, mounts=mounts, locks=locks, log=log)
        self.volumes = Volumes(
            catalog=catalog,
            pools=pools,
            mounts=mounts,
            path_mapping=ports.path_mapping,
            accounts=ports.accounts,
            clock=clock,
            new_id=ports.new_id,
            log=log,
            locks=locks,
            bulkhead=Bulkhead(ports.monotonic),
            detacher=self.detacher,
            trash_keep=policy.trash_keep,
            collect_garbage=ports.collect_garbage,
            shared_pools=self.shared_pools,
            adopted=self.adopted,
            default_pool=policy.default_pool,
        )
        self.jobs = Jobs(clock, ports.new_id, log)
        self.purge = Purge(catalog, log)
        self.trash = Trash(
            catalog=catalog,
            pools=pools,
            clock=clock,
            since_boot=ports.since_boot,
            log=log,
            locks=locks,
            mounts=mounts,
            min_free_percent=policy.trash_min_free,
            collect_garbage=ports.collect_garbage,
            adopted=self.adopted,
            stuck=self.purge.stuck,
        )
        self.renamer = Renamer(catalog=catalog, pools=pools, mounts=mounts, locks=locks, log=log)
        self.adopter = Adopter(
            catalog=catalog,
            pools=pools,
            importer=ports.importer,
            volumes=self.volumes,
            reconciler=self.reconciler,
            mounts=mounts,
            locks=locks,
            adopted=self.adopted,
            clock=clock,
            new_id=ports.new_id,
            log=log,
        )
        self.engine_restart = EngineRestartDetector(catalog, self.volumes.activate)
        self.usages = Usages(
            catalog=catalog,
            pools=pools,
            store=ports.usage_store,
            count=ports.count,
            clock=clock,
            every=policy.usage_every,
        )
        self.volume_status = VolumeStatus(
            volumes=self.volumes,
            degraded=self.detacher.degraded,
            catalog=catalog,
            pools=pools,
            path_mapping=ports.path_mapping,
            usages=self.usages,
            shared_pools=self.shared_pools,
            trash_keep=policy.trash_keep,
        )
        self.doctor = Doctor(
            catalog=catalog,
            pools=pools,
            min_free_percent=policy.trash_min_free,
            mounts=mounts,
            stuck=self.purge.stuck,
            hints=policy.hints,
        )
        self.metrics = VolumeMetrics(
            catalog=catalog,
            pools=pools,
            degraded=self.volume_status.count_degraded,
            servers=ports.servers,
            usage=self.usages.of,
        )
