"""The composition root: settings in, a wired Flask app out.

It names concrete classes, as `pools.py` does for pools.
"""

import secrets
import time
from datetime import UTC, datetime
from functools import partial

from flask import Blueprint, Flask

from pyvol.api import codec, docker, metrics
from pyvol.api.request_stats import RequestStats, counting
from pyvol.api.v1.routes import control_api
from pyvol.catalog import SqliteCatalog
from pyvol.catalog.usages import UsageStore
from pyvol.config.settings import Settings
from pyvol.core.concurrency.bulkhead import WAIT_S
from pyvol.core.concurrency.jobs import STOPPING
from pyvol.core.concurrency.task import Task
from pyvol.core.errors import CatalogFailed
from pyvol.core.model import mount_spec
from pyvol.core.ports.host import Log, VolumeLog
from pyvol.core.service import Policy, Ports, Service
from pyvol.core.status.events import EventLog, Events
from pyvol.core.status.hints import DAEMON, PLUGIN
from pyvol.daemon.background import BackgroundThread, GarbageCollector, stop_all
from pyvol.daemon.metrics_port import MetricsPort
from pyvol.daemon.pool_watcher import PoolWatcher, Timing
from pyvol.daemon.pools import PoolFactory, map_directories
from pyvol.host.files import disk_usage
from pyvol.host.mounts.table import KernelMounts
from pyvol.host.processes.fd_store import FdStore
from pyvol.host.system import machine
from pyvol.host.system.accounts import HostAccounts, NoAccounts
from pyvol.storage.nfs import worker
from pyvol.storage.nfs.pool import NfsPool
from pyvol.storage.remote.server import Server
from pyvol.storage.remote.servers import Servers

_now = partial(datetime.now, UTC)
_new_id = partial(secrets.token_hex, 8)

PLUGIN_WAIT_S = 25.0
"""`docker plugin enable` gives a request 30 s; nobody would release the claim of a later Mount."""


class Daemon:
    """Everything that one worker process has, wired.

    Args:
        settings: the settings in force.
        log: the log.

    Attributes:
        flask: the app to serve.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self._events = Events(_now, _new_id())
        self._log = log = EventLog(log, self._events)
        self._catalog = SqliteCatalog(settings.state_dir, machine.boot_id())
        for repair in self._catalog.repairs:
            log.warning(repair)
        self._servers = Servers(settings.nfs_timeout.total_seconds(), log, worker=worker.__name__)
        self._fd_store = FdStore(str(settings.state_dir), log)
        self._background = Task()
        self._garbage = GarbageCollector(log)
        mounts = KernelMounts()
        self._pool_factory = PoolFactory(settings, self._catalog, log, self._servers, mounts)
        self._core = core = self._wire(settings, mounts)
        core.reconciler.run()
        self._counting = BackgroundThread(self._count, log, "counter")
        timing = Timing(stale=settings.nfs_refresh.total_seconds())
        self._watchers = [self._watcher(pool, timing) for pool in self._shared.values()]
        # An engine's start is known by its Activate, which a managed plugin never gets.
        observe = core.engine_restart.observe if settings.propagated_mount else None
        request_stats = RequestStats()
        monitored = metrics.blueprint(request_stats, core.metrics, lambda: self._catalog.problem)
        self.flask = create_app(
            log,
            docker.blueprint(core.volumes, core.volume_status, settings.scope, observe),
            *control_api(core, self._events),
            monitored,
        )
        self.flask.wsgi_app = counting(self.flask.wsgi_app, request_stats)  # type: ignore[assignment,method-assign]  # Flask's own way
        # Everybody on this host can reach the port, so it serves nothing else.
        self._metrics_port = MetricsPort(settings.metrics_port, create_app(log, monitored), log)

    def start(self) -> None:
        """Start what runs in the background."""
        purge = self._core.purge.purge
        self._garbage.start(
            self._collect_garbage, {name: partial(purge, pool) for name, pool in self._core.pools.items()}
        )
        for watcher in self._watchers:
            watcher.start()
        self._counting.start(at_once=False)  # a daemon that has just started has more urgent work
        self._metrics_port.start()

    def stopping(self) -> None:
        """Answer requests that wait for events, and cancel all jobs, so that the stop waits for neither."""
        self._events.end()
        self._core.jobs.stop()
        self._background.cancel(STOPPING)

    def stop(self) -> None:
        """End the background work, then close the catalog. Mounts stay, because containers are using them."""
        stop_all([self._core.jobs, self._counting, *self._garbage.threads, *self._watchers, self._metrics_port])
        self._core.usages.save()
        self._fd_store.close()
        self._servers.stop()
        self._catalog.close()
        self._pool_factory.close()

    def _wire(self, settings: Settings, mounts: KernelMounts) -> Service:
        path_mapping = map_directories(settings, mounts)
        local = self._pool_factory.local(path_mapping)
        self._shared = self._pool_factory.shared(self._fd_store, _now)
        is_plugin = settings.propagated_mount is not None
        ports = Ports(
            catalog=self._catalog,
            local_pools=local,
            shared_pools=self._shared,
            servers=self._servers.answering,
            mounts=mounts,
            path_mapping=path_mapping,
            accounts=NoAccounts() if is_plugin else HostAccounts(),
            importer=self._pool_factory.importer(path_mapping),
            usage_store=UsageStore(settings.state_dir, self._log),
            count=lambda path, task, on_progress, per_second: disk_usage.count(
                path, task, on_progress, per_second, mounts.below(path)
            ),
            clock=_now,
            monotonic=time.monotonic,
            since_boot=machine.since_boot_s,
            new_id=_new_id,
            log=self._log,
            collect_garbage=self._garbage.wake,
        )
        policy = Policy(
            trash_keep=settings.trash_keep,
            trash_min_free=settings.trash_min_free,
            usage_every=settings.usage_every,
            default_pool=settings.default_pool,
            lock_wait_s=PLUGIN_WAIT_S if is_plugin else WAIT_S,
            hints=PLUGIN if is_plugin else DAEMON,
        )
        return Service(ports, policy)

    def _watcher(self, pool: NfsPool, timing: Timing) -> PoolWatcher:
        shared_pools = self._core.shared_pools

        def work() -> None:
            pool.mount()
            shared_pools.follow(pool)
            shared_pools.hold_claimed(pool)
            shared_pools.clear_unfinished(pool)
            pool.space()

        watcher = PoolWatcher(pool.name, look=pool.stamp, work=work, timing=timing, log=self._log)
        pool.refresh = watcher.refresh
        pool.request_refresh = watcher.request_refresh
        pool.server.when_back(pool.invalidate_locks)
        pool.server.when_back(watcher.wake)
        self._fd_store.when_lost(watcher.wake)  # it takes the locks again
        return watcher

    def _count(self) -> None:
        """Count one volume."""
        if self._core.usages.work(self._background):
            self._counting.wake()  # there is another one to count

    def _collect_garbage(self) -> None:
        """Expire the trash, and clear what else has no use any more."""
        try:
            self._catalog.save_generation()
        except CatalogFailed as error:
            self._log.warning("generation not recorded", error=str(error))
        self._core.detacher.detach_all()
        self._servers.retire(self._used_servers())
        self._core.metrics.sample()
        self._core.trash.expire(self._background)

    def _used_servers(self) -> set[Server]:
        """Return the servers that a pool or a volume is on."""
        found = (mount_spec.of(volume.spec) for volume in self._catalog.live())
        plain = {(export.host, export.port) for export in found if export is not None}
        return {pool.server for pool in self._shared.values()} | {self._servers.at(*place) for place in plain}


def create_app(log: VolumeLog, *blueprints: Blueprint) -> Flask:
    """Return a Flask app with these routes and no others, whose errors are JSON."""
    app = Flask("pyvol", static_folder=None)
    codec.install(app, log)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app
