"""Routes for monitoring: `/metrics` and `/healthz`, also on a port of this host."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from pyvol.api.codec import encode
from pyvol.api.messages import Health
from pyvol.api.request_stats import RequestStats
from pyvol.core.errors import CatalogFailed
from pyvol.core.status.metrics import VolumeMetrics

if TYPE_CHECKING:
    from pyvol.api.prometheus_text import Exposition

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(
    request_stats: RequestStats, volume_metrics: VolumeMetrics, catalog_problem: Callable[[], str | None]
) -> Blueprint:
    """Return the routes.

    Args:
        request_stats: the requests.
        volume_metrics: all other numbers.
        catalog_problem: returns why the last write of the catalog failed; None if it succeeded.
    """
    routes = Blueprint("monitoring", __name__)
    exposition: Exposition | None = None

    @routes.get("/metrics")
    def metrics() -> Response:
        nonlocal exposition
        if exposition is None:
            from pyvol.api.prometheus_text import Exposition  # noqa: PLC0415  # who is not watched does without its memory

            exposition = Exposition(request_stats, volume_metrics.read)
        return Response(exposition.text(), content_type=METRICS_TYPE)

    @routes.get("/healthz")
    def health() -> Response:
        why = catalog_problem()
        if why is not None:
            raise CatalogFailed(why)
        return encode(Health())

    return routes
