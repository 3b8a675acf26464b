"""The part of the control API that makes volumes of what exists."""

from flask import Blueprint, Response

from pyvol.core.adopting import Adopting
from pyvol.core.plans import Asked
from pyvol.wire import messages
from pyvol.wire.codec import decode, encode


def blueprint(adopting: Adopting) -> Blueprint:
    """Return its routes."""
    routes = Blueprint("adoption", __name__, url_prefix="/v1/adopt")

    @routes.get("")
    def adoptable() -> Response:
        return encode(messages.Adoptable(list(adopting.strays()), list(adopting.copies)))

    @routes.post("")
    def adopt() -> Response:
        message = decode(messages.Adopt)
        act = adopting.plan if message.dry_run else adopting.adopt
        return encode(act(Asked(message.name, message.kind, message.options, message.source)))

    return routes
