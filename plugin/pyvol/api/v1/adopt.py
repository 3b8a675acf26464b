"""The part of the control API that makes volumes of what exists."""

from flask import Blueprint, Response

from pyvol.api import messages
from pyvol.api.codec import decode, encode
from pyvol.core.lifecycle.adopt import Adopter
from pyvol.core.model.adoption import Asked


def blueprint(adopting: Adopter) -> Blueprint:
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
