"""The composition root: settings in, a wired Flask app out; names concrete classes, as `opening.py` does for pools."""

import secrets
from datetime import UTC, datetime, timedelta
from functools import partial

from flask import Blueprint, Flask

from pyvol.background import BackgroundThread
from pyvol.catalog import SqliteCatalog
from pyvol.catalog.usages import UsageStore
from pyvol.core import exports
from pyvol.core.adopting import Adopting
from pyvol.core.advice import DAEMON, PLUGIN
from pyvol.core.doctor import Doctor
from pyvol.core.errors import CatalogFailed
from pyvol.core.events import Events, TellingJournal
from pyvol.core.gauges import Gauges
from pyvol.core.lives import EngineLives
from pyvol.core.locks import NamedLocks
from pyvol.core.overlap import AdoptedDirectories
from pyvol.core.pool import Pool
from pyvol.core.ports import Journal
from pyvol.core.reconcile import Reconciler
from pyvol.core.renaming import Renaming
from pyvol.core.sharing import Sharing
from pyvol.core.showing import Showing
from pyvol.core.sweeping import Sweeping
from pyvol.core.trash import Trash
from pyvol.core.usage import Usages
from pyvol.core.volumes import Volumes
from pyvol.follower import Follower
from pyvol.host import machine
from pyvol.host.accounts import HostAccounts, NoAccounts
from pyvol.host.counters import Counter
from pyvol.host.keeping import Keeping
from pyvol.host.mounts import KernelMounts
from pyvol.loopback import Loopback
from pyvol.opening import Opening, map_directories
from pyvol.settings import Settings
from pyvol.storage.nfs import NfsPool
from pyvol.storage.servers import Server, Servers
from pyvol.wire import adoption, codec, control, docker, events, monitoring, usage
from pyvol.wire.tally import Tally, counting

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

    def __init__(self, settings: Settings, log: Journal) -> None:
        self._events = Events(_now, _new_id())
        self._journal = journal = TellingJournal(log, self._events)
        self._catalog = SqliteCatalog(settings.state_dir, machine.boot_id())
        for repair in self._catalog.repairs:
            journal.warning(repair)
        path_mapping = map_directories(settings)
        mounts = KernelMounts()
        self._servers = Servers(settings.nfs_timeout.total_seconds(), journal)
        self._opening = opening = Opening(settings, self._catalog, journal, self._servers, mounts)
        local = opening.local(path_mapping)
        self._keeping = Keeping(str(settings.state_dir), journal)
        self._shared = opening.shared(self._keeping, _now)
        self._pools = {**local, **self._shared}
        locks = NamedLocks(PLUGIN_WAIT_S) if settings.propagated_mount else NamedLocks()
        self._reaper = BackgroundThread(self._reap, journal, "reaper")
        # Each pool has a thread of its own for its deletions: those of a slow server take hours.
        self._sweepers = [
            BackgroundThread(partial(self._sweep, pool), journal, f"sweep {pool.name}") for pool in self._pools.values()
        ]
        sharing = Sharing(self._catalog, self._shared, locks, journal)
        adopted = AdoptedDirectories(self._catalog, locks, sharing)
        self._followers = [self._follower(pool, sharing, settings.nfs_refresh) for pool in self._shared.values()]
        reconciler = Reconciler(catalog=self._catalog, pools=local, clock=_now, new_id=_new_id, journal=journal)
        reconciler.run()
        self._counter = Counter()
        self._usages = Usages(
            catalog=self._catalog,
            pools=self._pools,
            store=UsageStore(settings.state_dir, journal),
            count=self._counter.count,
            clock=_now,
            every=settings.usage_every,
        )
        self._counting = BackgroundThread(self._count, journal, "counter")
        self._volumes = volumes = Volumes(
            catalog=self._catalog,
            pools=self._pools,
            mounts=mounts,
            path_mapping=path_mapping,
            accounts=NoAccounts() if settings.propagated_mount else HostAccounts(),
            clock=_now,
            new_id=_new_id,
            journal=journal,
            locks=locks,
            trash_keep=settings.trash_keep,
            wake_reaper=self._wake_reapers,
            sharing=sharing,
            adopted=adopted,
            default_pool=settings.default_pool,
        )
        showing = Showing(
            volumes=volumes,
            catalog=self._catalog,
            pools=self._pools,
            path_mapping=path_mapping,
            usages=self._usages,
            sharing=sharing,
            trash_keep=settings.trash_keep,
        )
        self._sweeping = Sweeping(self._catalog, journal)
        self._trash = Trash(
            catalog=self._catalog,
            pools=self._pools,
            clock=_now,
            steady=machine.since_boot_s,
            journal=journal,
            locks=locks,
            mounts=mounts,
            min_free_percent=settings.trash_min_free,
            wake_reaper=self._wake_reapers,
            adopted=adopted,
            stuck=self._sweeping.stuck,
        )
        doctor = Doctor(
            catalog=self._catalog,
            pools=self._pools,
            min_free_percent=settings.trash_min_free,
            put_aside=self._catalog.put_aside,
            mounts=mounts,
            stuck=self._sweeping.stuck,
            advice=PLUGIN if settings.propagated_mount else DAEMON,
        )
        # An engine's start is known by its Activate, which a managed plugin never gets.
        called_by = EngineLives(self._catalog, volumes.activate).called_by if settings.propagated_mount else None
        renaming = Renaming(catalog=self._catalog, pools=self._pools, mounts=mounts, locks=locks, journal=journal)
        self._adopting = Adopting(
            catalog=self._catalog,
            pools=self._pools,
            intake=opening.intake(path_mapping),
            volumes=volumes,
            reconciler=reconciler,
            mounts=mounts,
            locks=locks,
            adopted=adopted,
            clock=_now,
            new_id=_new_id,
            journal=journal,
        )
        self._gauges = Gauges(
            catalog=self._catalog,
            pools=self._pools,
            ailing=showing.count_ailing,
            servers=self._servers.answering,
            usage=self._usages.of,
        )
        tally = Tally()
        monitored = monitoring.blueprint(tally, self._gauges, lambda: self._catalog.trouble)
        self.flask = create_app(
            journal,
            docker.blueprint(volumes, showing, settings.scope, called_by),
            control.blueprint(volumes, showing, self._trash, doctor, renaming),
            adoption.blueprint(self._adopting),
            usage.blueprint(self._usages, self._counting.wake),
            events.blueprint(self._events),
            monitored,
        )
        self.flask.wsgi_app = counting(self.flask.wsgi_app, tally)  # type: ignore[assignment,method-assign]  # Flask's own way
        # Whoever is on this host can ask the port: it has nothing else.
        self._loopback = Loopback(settings.metrics_port, create_app(journal, monitored), journal)

    def start(self) -> None:
        """Start what runs in the background."""
        for thread in (self._reaper, *self._sweepers):
            thread.start()
        for follower in self._followers:
            follower.start()
        self._counting.start(at_once=False)  # who has just started has more urgent things to do
        self._loopback.start()

    def stopping(self) -> None:
        """Answer who waits for events, a copy or an emptied trash, so that the end waits for none of them."""
        self._events.end()
        self._adopting.end()
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
        for follower in self._followers:
            follower.stop()
        self._keeping.close()
        self._servers.stop()
        self._catalog.close()
        self._opening.close()
        self._loopback.stop()  # last: it waits for a client that is slow to ask

    def _follower(self, pool: NfsPool, sharing: Sharing, stale: timedelta) -> Follower:
        def work() -> None:
            pool.mount()
            sharing.follow(pool)
            sharing.hold_claimed(pool)
            sharing.clear_unfinished(pool)
            pool.space()

        follower = Follower(pool.name, pool.stamp, work, stale.total_seconds(), self._journal)
        pool.freshen = follower.freshen
        pool.nudge = follower.nudge
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
            self._journal.warning("generation not recorded", error=str(error))
        self._volumes.detach_unclaimed()
        self._servers.retire(self._used_servers())
        self._gauges.sample()
        self._trash.expire()

    def _used_servers(self) -> set[Server]:
        """Return those that a pool or a volume is on."""
        found = (exports.of(volume.spec) for volume in self._catalog.live())
        plain = {(export.host, export.port) for export in found if export is not None}
        return {pool.server for pool in self._shared.values()} | {self._servers.at(*place) for place in plain}

    def _sweep(self, pool: Pool) -> None:
        """Delete what was discarded in a pool."""
        if self._sweeping.sweep(pool):
            self._reaper.wake()  # there may not be room enough yet

    def _wake_reapers(self) -> None:
        for thread in (self._reaper, *self._sweepers):
            thread.wake()


def create_app(journal: Journal, *blueprints: Blueprint) -> Flask:
    """Return a Flask app with these routes, and no others, whose errors are JSON."""
    app = Flask("pyvol", static_folder=None)
    codec.install(app, journal)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return secrets.token_hex(8)
