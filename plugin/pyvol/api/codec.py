"""Decodes request bodies, encodes replies, and turns every exception of every route into a reply.

Bodies are decoded raw, because engines send no Content-Type (engine fact 3). Docker's verbs answer an error
with HTTP 500 and `{"Err": …}`, the one form that Docker and Podman both take as an error (engine fact 15).
The control API answers with the status of `pyvol.api.error_codes`, and also with the error's code, its hint
and its volume.
"""

from typing import Any, TypeVar

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge

from pyvol.api import error_codes
from pyvol.api.messages import Error, Failure
from pyvol.api.request_stats import FAILED, OUTCOME, REFUSED
from pyvol.core import errors
from pyvol.core.model.event_kind import EventKind
from pyvol.core.model.text import escape_control_chars
from pyvol.core.model.volume import NAME
from pyvol.core.ports.host import VolumeLog

T = TypeVar("T")

MAX_BODY_BYTES = 1 << 20
NOT_FOUND = 404
SERVER_ERROR = 500
"""From this status on an error is pyvol's to look at; below it, it is the caller's."""
ASKED = "pyvol.asked"
"""The key of the WSGI environment that holds the message of a request, for the log line of an error."""
BODY = "pyvol.body"
"""The key of the WSGI environment for the request's body, which is whole."""
HANG_UP = "pyvol.hang_up"
"""The key of the WSGI environment under which the server puts a function that drops the connection."""
CONTROL = "/v1/"
GET = "/VolumeDriver.Get"
BODILESS = {"GET", "HEAD"}
READING = {GET, "/VolumeDriver.Path"}
PLUGIN_TYPE = "application/vnd.docker.plugins.v1.2+json"

to_json = msgspec.json.Encoder().encode
"""A message as JSON."""
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def decode(kind: type[T]) -> T:
    """Return the request's body as a message.

    Raises:
        EmptyBody: the body is empty; an engine loses it when it repeats a request (engine fact 5).
        BadRequest: the body is not JSON of that shape.
    """
    body: bytes = request.environ[BODY]
    if not body.strip():
        _drop_get()
        raise errors.EmptyBody(f"{_asked()}: the request has no body", "pyvol did nothing", "send the request again")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        message: T = decoder.decode(body)
    except errors.UNDECODABLE as error:
        raise errors.BadRequest(f"{_asked()}: the request's body cannot be used", str(error)) from None
    request.environ[ASKED] = message
    return message


def _read_body() -> None:
    """Read the whole body before any route runs; raise `BadRequest` if the client did not send all of it.

    What has arrived of a body can look like a whole message: a request that was cut off must not change
    anything. Without a route, or for a GET, nobody needs the body: the port for metrics must not wait for
    one.
    """
    if request.routing_exception is not None or request.method in BODILESS:
        return
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise
    except Exception as error:  # noqa: BLE001  # the errors of the server, which this module does not know
        _drop_get()
        cause = "the connection ended before it" if isinstance(error, ClientDisconnected) else str(error)
        raise errors.BadRequest(
            f"{_asked()}: the request's body cannot be read: {cause}",
            "pyvol did nothing",
            "send the request again",
        ) from None
    length = request.content_length or 0
    if len(body) < length:
        _drop_get()
        raise errors.BadRequest(
            f"{_asked()}: the request's body ends after {len(body)} of {length} bytes",
            "pyvol did nothing",
            "send the request again",
        )
    request.environ[BODY] = body


def _drop_get() -> None:
    """On a `Get`, drop the connection.

    An error answer costs the volume its labels, a dropped connection does not (engine facts 1, 5 and 36).
    """
    if request.path == GET:
        request.environ[HANG_UP]()


def _asked() -> str:
    return request.path.lstrip("/")


def encode(reply: Any, status: int = 200) -> Response:
    """Return a message as the response."""
    return respond(to_json(reply), status)


def respond(content: bytes, status: int = 200) -> Response:
    """Return a message that is JSON already as the response."""
    return Response(content, status, content_type=PLUGIN_TYPE)


def install(app: Flask, log: VolumeLog) -> None:
    """Make an app answer every exception of its routes in JSON."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False  # a redirect would be HTML
    app.before_request(_read_body)

    def record(*, quiet: bool = False, exc_info: Exception | None = None, **facts: str) -> None:
        """Write a line about a failed request; it is an event if the request was to change a volume."""
        volume = _volume()
        if volume:
            log.event(EventKind.FAILED, volume, quiet=quiet, exc_info=exc_info, path=request.path, **facts)
        elif quiet:
            log.debug("request failed", path=request.path, **facts)
        else:
            log.warning("request failed", exc_info=exc_info, path=request.path, **facts)

    def answer(error: Exception) -> Response:
        if isinstance(error, errors.PyvolError):
            status = error_codes.row(error).status
            is_ours = status >= SERVER_ERROR
            request.environ[OUTCOME] = FAILED if is_ours else REFUSED
            if not isinstance(error, errors.OptionHelp):
                record(quiet=not is_ours, code=error.code, error=str(error))
            return _reply(error, status)
        if isinstance(error, HTTPException):
            request.environ[OUTCOME] = REFUSED
            return _reply(_refusal(error), error.code or SERVER_ERROR)
        request.environ[OUTCOME] = FAILED
        defect = errors.InternalError(
            f"{_asked()}: pyvol failed ({type(error).__name__})", hint="its log has the details"
        )
        record(code=defect.code, error=repr(error), exc_info=error)
        return _reply(defect, SERVER_ERROR)

    app.register_error_handler(Exception, answer)


def _refusal(error: HTTPException) -> errors.PyvolError:
    """Return what an error of Flask's means."""
    asked = f"{request.method} {request.path}"
    if error.code == NOT_FOUND:
        return errors.NotFound(f"{asked}: neither a VolumeDriver verb nor a request of the control API")
    return errors.BadRequest(f"{asked}: {error.description}")


def _volume() -> str:
    """Return the name of the volume that a request was to change; empty for other requests, such as Get."""
    if request.method != "POST" or request.path in READING:
        return ""
    asked = request.environ.get(ASKED)
    name = getattr(asked, "Name", None) or getattr(asked, "name", None) or (request.view_args or {}).get("name", "")
    return name if NAME.fullmatch(name) else ""


def _reply(error: errors.PyvolError, status: int) -> Response:
    if not request.path.startswith(CONTROL):
        return encode(Error(escape_control_chars(str(error))), SERVER_ERROR)
    return encode(failure_of(error), status)


def failure_of(error: errors.PyvolError) -> Failure:
    """Return an error as a message of the control API."""
    return Failure(
        escape_control_chars(str(error)),
        error.code,
        escape_control_chars(error.hint),
        escape_control_chars(error.volume),
    )
