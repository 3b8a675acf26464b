"""Writes the metrics in Prometheus' text format.

Imported at the first request, because the library uses memory that most daemons do not need.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from pyvol import __version__
from pyvol.api.request_stats import BOUNDS_S, RequestStats
from pyvol.core.status.metrics import Reading

LABELS = [*map(floatToGoString, BOUNDS_S), "+Inf"]


class Exposition:
    """Writes the text that Prometheus takes.

    Args:
        request_stats: the requests.
        read: returns the numbers of this moment.
    """

    def __init__(self, request_stats: RequestStats, read: Callable[[], Reading]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Numbers(request_stats, read))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return the current numbers as text."""
        return generate_latest(self._registry)


class _Numbers(Collector):
    """Makes the metrics for each request."""

    def __init__(self, request_stats: RequestStats, read: Callable[[], Reading]) -> None:
        self._request_stats = request_stats
        self._read = read

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("pyvol", "The release that runs.", {"version": __version__})
        yield self._requests()
        now = self._read()
        yield _by("pool", "pyvol_volumes", "Volumes, by pool.", now.volumes)
        yield GaugeMetricFamily(
            "pyvol_volumes_degraded", "Volumes that had a problem when they were last used.", now.degraded
        )
        yield GaugeMetricFamily("pyvol_claims", "Mounts that engines have not unmounted.", now.claims)
        yield GaugeMetricFamily("pyvol_claims_stale", "Claims from before the engine's last restart.", now.stale_claims)
        yield _by("pool", "pyvol_trash_volumes", "Removed volumes that can be undeleted, by pool.", now.trash)
        yield _by("pool", "pyvol_volumes_bytes", "Disk usage of the volumes that were counted.", now.bytes)
        yield _by("pool", "pyvol_trash_bytes", "Disk usage of the removed volumes that were counted.", now.trash_bytes)
        known = {name: room for name, (_, room) in now.room.items() if room is not None}
        up = {name: well for name, (well, _) in now.room.items()}
        yield _by("pool", "pyvol_pool_up", "Whether the pool's file system answered the last time pyvol asked.", up)
        size = {name: room.total_bytes for name, room in known.items()}
        yield _by("pool", "pyvol_pool_size_bytes", "Size of the pool's file system.", size)
        free = {name: room.free_bytes for name, room in known.items()}
        yield _by(
            "pool", "pyvol_pool_free_bytes", "Free space on the pool's file system, the last time pyvol asked.", free
        )
        yield _servers(now.servers)
        yield GaugeMetricFamily("pyvol_catalog_up", "Whether the last write of the catalog succeeded.", now.catalog)

    def _requests(self) -> Metric:
        family = HistogramMetricFamily(
            "pyvol_request_duration_seconds",
            "Requests, by verb and by how they ended: ok, refused or failed.",
            labels=["verb", "outcome"],
        )
        for (verb, outcome), timed in sorted(self._request_stats.read().items()):
            buckets = list(zip(LABELS, map(float, accumulate(timed.counts)), strict=True))
            family.add_metric([verb, outcome], buckets, timed.sum_s)
        return family


def _servers(servers: Mapping[tuple[str, str], int]) -> Metric:
    summary = "Whether the NFS server answers; 0 while nobody asks it."
    family = GaugeMetricFamily("pyvol_server_up", summary, labels=["server", "port"])
    for place, is_up in sorted(servers.items()):
        family.add_metric(place, is_up)
    return family


def _by(label: str, name: str, summary: str, numbers: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, summary, labels=[label])
    for key, number in sorted(numbers.items()):
        family.add_metric([key], number)
    return family
