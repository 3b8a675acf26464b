"""The composition root: settings in, a wired Flask app out; names concrete classes, as `pools.py` does for pools."""

import secrets
from datetime import UTC, datetime, timedelta
from functools import partial

from flask import Blueprint, Flask

from pyvol.api import codec, docker, metrics
from pyvol.api.request_stats import RequestStats, counting
from pyvol.api.v1 import adopt, events, usage
from pyvol.api.v1 import volumes as volumes_v1
from pyvol.catalog import SqliteCatalog
from pyvol.catalog.usages import UsageStore
from pyvol.config.settings import Settings
from pyvol.core.concurrency.named_locks import NamedLocks
from pyvol.core.errors import CatalogFailed
from pyvol.core.lifecycle.adopt import Adopter
from pyvol.core.lifecycle.engine_restart import EngineRestartDetector
from pyvol.core.lifecycle.path_overlap import AdoptedDirectories
from pyvol.core.lifecycle.purge import Purge
from pyvol.core.lifecycle.reconcile import Reconciler
from pyvol.core.lifecycle.rename import Renamer
from pyvol.core.lifecycle.shared_pools import SharedPools
from pyvol.core.lifecycle.trash import Trash
from pyvol.core.lifecycle.volumes import Volumes
from pyvol.core.model import mount_spec
from pyvol.core.ports.host import Log
from pyvol.core.ports.pool import Pool
from pyvol.core.status.doctor import Doctor
from pyvol.core.status.events import EventLog, Events
from pyvol.core.status.hints import DAEMON, PLUGIN
from pyvol.core.status.metrics import VolumeMetrics
from pyvol.core.status.usage import Usages
from pyvol.core.status.volume_status import VolumeStatus
from pyvol.daemon.background import BackgroundThread
from pyvol.daemon.metrics_port import MetricsPort
from pyvol.daemon.pool_watcher import PoolWatcher
from pyvol.daemon.pools import PoolFactory, map_directories
from pyvol.host.files.disk_usage import Counter
from pyvol.host.mounts.table import KernelMounts
from pyvol.host.processes.fd_store import FdStore
from pyvol.host.system import machine
from pyvol.host.system.accounts import HostAccounts, NoAccounts
from pyvol.storage.nfs.pool import NfsPool
from pyvol.storage.remote.server import Server, Servers

PLUGIN_WAIT_S = 25.0
"""`docker plugin enable` gives a request 30 s; a Mount that is answered later makes a claim that nobody releases."""


class Daemon:
    """Everything that one worker process holds, wired.

    Args:
        settings: what holds.
        log: where it is written down what happens.

    Attributes:
        flask: the app to serve.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self._events = Events(_now, _new_id())
        self._log = log = EventLog(log, self._events)
        self._catalog = SqliteCatalog(settings.state_dir, machine.boot_id())
        for repair in self._catalog.repairs:
            log.warning(repair)
        path_mapping = map_directories(settings)
        mounts = KernelMounts()
        self._servers = Servers(settings.nfs_timeout.total_seconds(), log)
        self._pool_factory = pool_factory = PoolFactory(settings, self._catalog, log, self._servers, mounts)
        local = pool_factory.local(path_mapping)
        self._fd_store = FdStore(str(settings.state_dir), log)
        self._shared = pool_factory.shared(self._fd_store, _now)
        self._pools = {**local, **self._shared}
        locks = NamedLocks(PLUGIN_WAIT_S) if settings.propagated_mount else NamedLocks()
        self._reaper = BackgroundThread(self._reap, log, "reaper")
        # Each pool has a thread of its own for its deletions: those of a slow server take hours.
        self._sweepers = [
            BackgroundThread(partial(self._purge_pool, pool), log, f"sweep {pool.name}")
            for pool in self._pools.values()
        ]
        shared_pools = SharedPools(self._catalog, self._shared, locks, log)
        adopted = AdoptedDirectories(self._catalog, locks, shared_pools)
        self._watchers = [self._watcher(pool, shared_pools, settings.nfs_refresh) for pool in self._shared.values()]
        reconciler = Reconciler(catalog=self._catalog, pools=local, clock=_now, new_id=_new_id, log=log)
        reconciler.run()
        self._counter = Counter()
        self._usages = Usages(
            catalog=self._catalog,
            pools=self._pools,
            store=UsageStore(settings.state_dir, log),
            count=self._counter.count,
            clock=_now,
            every=settings.usage_every,
        )
        self._counting = BackgroundThread(self._count, log, "counter")
        self._volumes = volumes = Volumes(
            catalog=self._catalog,
            pools=self._pools,
            mounts=mounts,
            path_mapping=path_mapping,
            accounts=NoAccounts() if settings.propagated_mount else HostAccounts(),
            clock=_now,
            new_id=_new_id,
            log=log,
            locks=locks,
            trash_keep=settings.trash_keep,
            wake_reaper=self._wake_reapers,
            shared_pools=shared_pools,
            adopted=adopted,
            default_pool=settings.default_pool,
        )
        volume_status = VolumeStatus(
            volumes=volumes,
            catalog=self._catalog,
            pools=self._pools,
            path_mapping=path_mapping,
            usages=self._usages,
            shared_pools=shared_pools,
            trash_keep=settings.trash_keep,
        )
        self._purge_job = Purge(self._catalog, log)
        self._trash = Trash(
            catalog=self._catalog,
            pools=self._pools,
            clock=_now,
            steady=machine.since_boot_s,
            log=log,
            locks=locks,
            mounts=mounts,
            min_free_percent=settings.trash_min_free,
            wake_reaper=self._wake_reapers,
            adopted=adopted,
            stuck=self._purge_job.stuck,
        )
        doctor = Doctor(
            catalog=self._catalog,
            pools=self._pools,
            min_free_percent=settings.trash_min_free,
            put_aside=self._catalog.put_aside,
            mounts=mounts,
            stuck=self._purge_job.stuck,
            advice=PLUGIN if settings.propagated_mount else DAEMON,
        )
        # An engine's start is known by its Activate, which a managed plugin never gets.
        observe = EngineRestartDetector(self._catalog, volumes.activate).observe if settings.propagated_mount else None
        renaming = Renamer(catalog=self._catalog, pools=self._pools, mounts=mounts, locks=locks, log=log)
        self._adopter = Adopter(
            catalog=self._catalog,
            pools=self._pools,
            intake=pool_factory.intake(path_mapping),
            volumes=volumes,
            reconciler=reconciler,
            mounts=mounts,
            locks=locks,
            adopted=adopted,
            clock=_now,
            new_id=_new_id,
            log=log,
        )
        self._volume_metrics = VolumeMetrics(
            catalog=self._catalog,
            pools=self._pools,
            degraded=volume_status.count_ailing,
            servers=self._servers.answering,
            usage=self._usages.of,
        )
        request_stats = RequestStats()
        monitored = metrics.blueprint(request_stats, self._volume_metrics, lambda: self._catalog.trouble)
        self.flask = create_app(
            log,
            docker.blueprint(volumes, volume_status, settings.scope, observe),
            volumes_v1.blueprint(volumes, volume_status, self._trash, doctor, renaming),
            adopt.blueprint(self._adopter),
            usage.blueprint(self._usages, self._counting.wake),
            events.blueprint(self._events),
            monitored,
        )
        self.flask.wsgi_app = counting(self.flask.wsgi_app, request_stats)  # type: ignore[assignment,method-assign]  # Flask's own way
        # Whoever is on this host can ask the port: it has nothing else.
        self._metrics_port = MetricsPort(settings.metrics_port, create_app(log, monitored), log)

    def start(self) -> None:
        """Start what runs in the background."""
        for thread in (self._reaper, *self._sweepers):
            thread.start()
        for follower in self._watchers:
            follower.start()
        self._counting.start(at_once=False)  # who has just started has more urgent things to do
        self._metrics_port.start()

    def stopping(self) -> None:
        """Answer who waits for events, a copy or an emptied trash, so that the end waits for none of them."""
        self._events.end()
        self._adopter.end()
        self._trash.end()

    def stop(self) -> None:
        """End the background work and close the catalog; mounts stay, for containers are using them."""
        self._usages.stop()
        self._counter.end()
        deleting = (self._reaper, *self._sweepers)
        for thread in (self._counting, *deleting):
            thread.stop()
        self._counting.join()
        self._usages.save()
        for thread in deleting:
            thread.join()
        for follower in self._watchers:
            follower.stop()
        self._fd_store.close()
        self._servers.stop()
        self._catalog.close()
        self._pool_factory.close()
        self._metrics_port.stop()  # last: it waits for a client that is slow to ask

    def _watcher(self, pool: NfsPool, shared_pools: SharedPools, stale: timedelta) -> PoolWatcher:
        def work() -> None:
            pool.mount()
            shared_pools.follow(pool)
            shared_pools.hold_claimed(pool)
            shared_pools.clear_unfinished(pool)
            pool.space()

        follower = PoolWatcher(pool.name, pool.stamp, work, stale.total_seconds(), self._log)
        pool.refresh = follower.refresh
        pool.request_refresh = follower.request_refresh
        pool.server.when_back(pool.doubt_locks)
        pool.server.when_back(follower.wake)
        return follower

    def _count(self) -> None:
        """Count one volume."""
        if self._usages.work():
            self._counting.wake()  # there is another one to count
        else:
            self._counter.rest()

    def _reap(self) -> None:
        """Let trash go, and see to what else is due; a sweeper that has made room wakes it again."""
        try:
            self._catalog.save_generation()
        except CatalogFailed as error:
            self._log.warning("generation not recorded", error=str(error))
        self._volumes.detach_unclaimed()
        self._servers.retire(self._used_servers())
        self._volume_metrics.sample()
        self._trash.expire()

    def _used_servers(self) -> set[Server]:
        """Return those that a pool or a volume is on."""
        found = (mount_spec.of(volume.spec) for volume in self._catalog.live())
        plain = {(export.host, export.port) for export in found if export is not None}
        return {pool.server for pool in self._shared.values()} | {self._servers.at(*place) for place in plain}

    def _purge_pool(self, pool: Pool) -> None:
        """Delete what was discarded in a pool."""
        if self._purge_job.purge(pool):
            self._reaper.wake()  # there may not be room enough yet

    def _wake_reapers(self) -> None:
        for thread in (self._reaper, *self._sweepers):
            thread.wake()


def create_app(log: Log, *blueprints: Blueprint) -> Flask:
    """Return a Flask app with these routes, and no others, whose errors are JSON."""
    app = Flask("pyvol", static_folder=None)
    codec.install(app, log)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return secrets.token_hex(8)
