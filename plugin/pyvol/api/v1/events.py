"""The part of the control API for those who follow what happens. A reply is a few events, and closes its connection."""

from flask import Blueprint, Response, request

from pyvol.api.codec import encode
from pyvol.core.errors import BadRequest
from pyvol.core.status.events import Events


def blueprint(events: Events) -> Blueprint:
    """Return its route."""
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
