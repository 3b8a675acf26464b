"""The part of the control API that has volumes counted."""

from collections.abc import Callable

from flask import Blueprint, Response

from pyvol.api.codec import decode, encode
from pyvol.api.messages import Counting, CountNow
from pyvol.core.status.usage import Usages


def blueprint(usages: Usages, wake: Callable[[], None]) -> Blueprint:
    """Return its routes; `wake` has what was asked for begun."""
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
