"""The route of the control API for the daemon's part of `pyvol doctor`."""

from flask import Blueprint, Response

from pyvol.api.codec import encode
from pyvol.api.v1.schema.doctor import Finding
from pyvol.core.model.text import escape_control_chars
from pyvol.core.status.doctor import Doctor


def blueprint(doctor: Doctor) -> Blueprint:
    """Return the route."""
    routes = Blueprint("doctor", __name__, url_prefix="/v1")

    @routes.get("/doctor")
    def examine() -> Response:
        return encode(
            [
                Finding(found.check, found.well, escape_control_chars(found.summary), found.hint)
                for found in doctor.examine()
            ]
        )

    return routes
