"""The route of the control API for events. A reply has a few events, and closes its connection."""

from flask import Blueprint, Response, request

from pyvol.api.codec import encode
from pyvol.api.v1.schema import events as schema
from pyvol.core.errors import BadRequest
from pyvol.core.status.events import EventBatch, Events


def blueprint(events: Events) -> Blueprint:
    """Return the route."""
    routes = Blueprint("events", __name__)

    @routes.get("/v1/events")
    def follow() -> Response:
        asked = request.args
        try:
            after, wait_s = int(asked.get("after", "0")), float(asked.get("wait", "0"))
        except ValueError as error:
            raise BadRequest("v1/events: after and wait are not both numbers", str(error)) from None
        return encode(_batch(events.after(after, asked.get("life", ""), wait_s)))

    return routes


def _batch(batch: EventBatch) -> schema.EventBatch:
    events = [schema.Event(one.number, one.at, one.event, one.volume, one.facts) for one in batch.events]
    return schema.EventBatch(batch.life, batch.last, events, batch.missed, batch.waited)
