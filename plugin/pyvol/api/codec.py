"""Bodies in, replies out, and an error into `{"Err": …}`, whatever it is: one handler here for all routes.

Bodies are decoded raw: engines send no Content-Type (engine fact 3). Errors of Docker's verbs are HTTP 500, the one
form that Docker and Podman both take as an error (engine fact 15); the control API answers with the table's status.
"""

import os
from typing import Any, TypeVar

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from pyvol.api.messages import Error
from pyvol.api.request_stats import FAILED, OUTCOME, REFUSED
from pyvol.core import errors
from pyvol.core.model.text import escape_control_chars
from pyvol.core.model.volume import NAME
from pyvol.core.ports.host import Log

T = TypeVar("T")

MAX_BODY_BYTES = 1 << 20
NOT_FOUND = 404
ASKED = "pyvol.asked"
"""The key of the WSGI environment under which the message of a request stands, for who tells of its failure."""
BODY = "pyvol.body"
"""The key of the WSGI environment for the request's body, which is whole."""
HANG_UP = "pyvol.hang_up"
"""The key of the WSGI environment under which the server puts a function that drops the connection."""
CONTROL = "/v1/"
GET = "/VolumeDriver.Get"
READING = {GET, "/VolumeDriver.Path"}
PLUGIN_TYPE = "application/vnd.docker.plugins.v1.2+json"

STATUS: dict[type[errors.PyvolError], tuple[int, int]] = {
    errors.PyvolError: (500, 1),
    errors.BadRequest: (400, 2),
    errors.EmptyBody: (400, 2),
    errors.BadName: (400, 2),
    errors.BadOption: (400, 2),
    errors.OptionHelp: (400, 2),
    errors.NotFound: (404, 3),
    errors.NoSuchVolume: (404, 3),
    errors.NoSuchTrash: (404, 3),
    errors.Conflict: (409, 4),
    errors.VolumeExists: (409, 4),
    errors.VolumeInUse: (409, 4),
    errors.VolumeProtected: (409, 4),
    errors.Busy: (503, os.EX_TEMPFAIL),
    errors.StorageFailed: (500, 1),
    errors.NameTaken: (500, 1),
    errors.CatalogFailed: (500, 1),
    errors.BadSetting: (500, os.EX_CONFIG),
    errors.Unreachable: (503, os.EX_UNAVAILABLE),
    errors.DaemonUnreachable: (503, os.EX_UNAVAILABLE),
    errors.EngineUnreachable: (503, os.EX_UNAVAILABLE),
    errors.EngineRefused: (500, 1),
}
"""What each error becomes: the control API's HTTP status, and the command's exit code (see sysexits(3))."""

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
        raise errors.EmptyBody(f"{_asked()}: the request has no body, so nothing was done; send it again")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        message: T = decoder.decode(body)
    except errors.UNDECODABLE as error:
        raise errors.BadRequest(f"{_asked()}: the request's body cannot be used: {error}") from None
    request.environ[ASKED] = message
    return message


def _read_body() -> None:
    """Read the whole body before any route runs; raise `BadRequest` if the client did not send all of it.

    What has arrived of a body can look like a whole message: a request that was cut off must not change anything.
    """
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise
    except Exception as error:  # noqa: BLE001  # the errors of the server, which this module does not know
        _drop_get()
        raise errors.BadRequest(
            f"{_asked()}: the request's body cannot be read ({error}), so nothing was done; send it again"
        ) from None
    length = request.content_length or 0
    if len(body) < length:
        _drop_get()
        raise errors.BadRequest(
            f"{_asked()}: the request's body ends after {len(body)} of {length} bytes, so nothing was done; "
            "send it again"
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


def install(app: Flask, log: Log) -> None:
    """Have every error of an app answered in JSON."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False  # a redirect would be HTML
    app.before_request(_read_body)

    def answer(error: Exception) -> Response:
        if isinstance(error, errors.PyvolError):
            status = STATUS[type(error)][0]
            is_ours = status >= 500  # noqa: PLR2004  # ours to know of; the rest is the caller's
            request.environ[OUTCOME] = FAILED if is_ours else REFUSED
            if is_ours:
                log.warning("request failed", path=request.path, **_about(), error=str(error))
            elif not isinstance(error, errors.OptionHelp):
                log.debug("request refused", path=request.path, **_about(), error=str(error))
            return _error(status, str(error))
        if isinstance(error, HTTPException):
            request.environ[OUTCOME] = REFUSED
            known = (
                "it is none of the VolumeDriver verbs, and not in the control API" if error.code == NOT_FOUND else ""
            )
            return _error(error.code or 500, f"{request.method} {request.path}: {known or error.description}")
        request.environ[OUTCOME] = FAILED
        log.warning("request failed unforeseen", path=request.path, **_about(), error=repr(error), exc_info=error)
        return _error(500, f"{_asked()}: pyvol failed ({type(error).__name__}); its log has the details")

    app.register_error_handler(Exception, answer)


def _about() -> dict[str, Any]:
    """Return which volume a request was to change; nothing for one that changes none, such as a Get."""
    if request.method != "POST" or request.path in READING:
        return {}
    asked = request.environ.get(ASKED)
    name = getattr(asked, "Name", None) or getattr(asked, "name", None) or (request.view_args or {}).get("name", "")
    return {"volume": name} if NAME.fullmatch(name) else {}


def _error(status: int, sentence: str) -> Response:
    return encode(Error(escape_control_chars(sentence)), status if request.path.startswith(CONTROL) else 500)
