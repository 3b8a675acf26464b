"""For who watches pyvol: `/metrics` and `/healthz`, on a port of this host too; what happens, and what volumes take."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from pyvol.core.errors import BadRequest, CatalogFailed
from pyvol.core.events import Events
from pyvol.core.gauges import Gauges
from pyvol.core.usage import Usages
from pyvol.wire.codec import decode, encode
from pyvol.wire.messages import Counting, CountNow, Health
from pyvol.wire.tally import Tally

if TYPE_CHECKING:
    from pyvol.wire.exposition import Exposition

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(tally: Tally, gauges: Gauges, trouble: Callable[[], str | None]) -> Blueprint:
    """Return the routes.

    Args:
        tally: the requests.
        gauges: all other numbers.
        trouble: returns why the catalog could not be written when that was last tried; None when it could.
    """
    routes = Blueprint("care", __name__)
    exposition: Exposition | None = None

    @routes.get("/metrics")
    def metrics() -> Response:
        nonlocal exposition
        if exposition is None:
            from pyvol.wire.exposition import Exposition  # noqa: PLC0415  # who is not watched does without its memory

            exposition = Exposition(tally, gauges.read)
        return Response(exposition.text(), content_type=METRICS_TYPE)

    @routes.get("/healthz")
    def health() -> Response:
        why = trouble()
        if why is not None:
            raise CatalogFailed(why)
        return encode(Health())

    return routes


def events_blueprint(events: Events) -> Blueprint:
    """Return the route of those who follow what happens. A reply is a handful of events, and closes its connection."""
    routes = Blueprint("events", __name__)

    @routes.get("/v1/events")
    def follow() -> Response:
        asked = request.args
        try:
            after, wait_s = int(asked.get("after", "0")), float(asked.get("wait", "0"))
        except ValueError as error:
            raise BadRequest(f"v1/events: after and wait have to be numbers: {error}") from None
        return encode(events.after(after, asked.get("life", ""), wait_s))

    return routes


def usage_blueprint(usages: Usages, wake: Callable[[], None]) -> Blueprint:
    """Return the routes of the counting; `wake` has what was asked for begun."""
    routes = Blueprint("usage", __name__)

    def counting() -> Response:
        now = usages.progress
        return encode(Counting(usages.waiting, *now) if now else Counting(usages.waiting))

    @routes.get("/v1/usage")
    def progress() -> Response:
        return counting()

    @routes.post("/v1/usage")
    def count_now() -> Response:
        usages.ask(decode(CountNow).names)
        wake()
        return counting()

    return routes
