"""Bodies of requests, as far as no server is needed."""

import io

import pytest
from flask import Blueprint, Response

from fakes import FakeLog
from pyvol.api.codec import decode, encode
from pyvol.api.messages import Done, Name
from pyvol.daemon.app import create_app


class Unreadable(io.RawIOBase):
    """A body that nobody may read."""

    def readinto(self, _: object) -> int:
        """Fail."""
        raise AssertionError


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/x", 200), ("POST", "/nope", 500), ("PUT", "/v1/x", 405)]
)
def test_a_body_that_no_route_needs_is_not_read(method: str, path: str, status: int) -> None:
    """A client of the port for metrics could otherwise block its only thread."""
    routes = Blueprint("x", __name__)
    routes.get("/v1/x")(lambda: encode(Done()))
    environ = {"wsgi.input": Unreadable(), "CONTENT_LENGTH": "10"}
    reply = create_app(FakeLog(), routes).test_client().open(path, method=method, environ_overrides=environ)
    assert reply.status_code == status


def test_a_body_that_cannot_be_read_is_refused() -> None:
    """The reason is in the error, and the route does not run."""
    routes = Blueprint("x", __name__)

    @routes.post("/v1/x")
    def route() -> Response:
        return encode(Done(decode(Name).Name))

    environ = {"wsgi.input": Unreadable(), "CONTENT_LENGTH": "10"}
    reply = create_app(FakeLog(), routes).test_client().post("/v1/x", environ_overrides=environ)
    assert reply.status_code == 400
    assert "v1/x: the request's body cannot be read" in reply.get_json(force=True)["Err"]
