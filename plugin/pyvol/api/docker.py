"""Docker's volume-plugin protocol: `Plugin.Activate` and the eight VolumeDriver verbs, a few lines each."""

from collections.abc import Callable
from datetime import datetime

from flask import Blueprint, Response, request

from pyvol.api import messages
from pyvol.api.codec import decode, encode, respond, to_json
from pyvol.core.lifecycle.volumes import Volumes
from pyvol.core.status.volume_status import VolumeStatus

CALLER_STARTED = "pyvol.caller_started"
"""The key of a function that returns when the calling process was started, or None."""
CALLER_WAITS = "pyvol.caller_waits"
"""The key of a function that returns whether the caller still waits for the answer."""


def blueprint(  # noqa: C901  # one route after the other, no branches
    volumes: Volumes, volume_status: VolumeStatus, scope: str, observe: Callable[[datetime | None], None] | None = None
) -> Blueprint:
    """Return the routes of the protocol.

    Args:
        volumes: the service behind them.
        volume_status: what of them people see.
        scope: what `Capabilities` says (engine fact 27).
        observe: gets the start time of the calling process before each verb; for a plugin that gets no
            Activate.
    """
    routes = Blueprint("docker", __name__)
    if observe is not None:
        routes.before_request(lambda: observe(request.environ[CALLER_STARTED]()))

    @routes.post("/Plugin.Activate")
    def activate() -> Response:
        volumes.activate()
        return encode(messages.Implements())

    @routes.post("/VolumeDriver.Capabilities")
    def capabilities() -> Response:
        return encode(messages.Capabilities(messages.Capability(scope)))

    @routes.post("/VolumeDriver.Create")
    def create() -> Response:
        asked = decode(messages.Create)
        volumes.create(asked.Name, asked.Opts)
        return encode(messages.Done())

    @routes.post("/VolumeDriver.Get")
    def get() -> Response:
        name = decode(messages.Name).Name
        volume, status = volume_status.find(name)
        return encode(messages.Got(messages.Shown(name, volume_status.place(volume), volume.created, status)))

    listed = (-1, b"")

    @routes.post("/VolumeDriver.List")
    def list_() -> Response:
        # Engines ask at each look at the volumes; there may be thousands, and seldom a change.
        nonlocal listed
        volumes.catch_up()
        changes = volumes.changes  # before the volumes: a change in between makes the next List look again
        known = listed  # another thread can replace it by an older one
        if known[0] != changes:
            shown = [messages.Listed(volume.name, volumes.mountpoint(volume)) for volume in volumes.all()]
            listed = known = (changes, to_json(messages.Volumes(shown)))
        return respond(known[1])

    @routes.post("/VolumeDriver.Path")
    def path() -> Response:
        return encode(messages.Mounted(volumes.mountpoint(volumes.get(decode(messages.Name).Name))))

    @routes.post("/VolumeDriver.Mount")
    def mount() -> Response:
        asked = decode(messages.Mount)
        return encode(messages.Mounted(volumes.mount(asked.Name, asked.ID, request.environ.get(CALLER_WAITS))))

    @routes.post("/VolumeDriver.Unmount")
    def unmount() -> Response:
        asked = decode(messages.Mount)
        volumes.unmount(asked.Name, asked.ID)
        return encode(messages.Done())

    @routes.post("/VolumeDriver.Remove")
    def remove() -> Response:
        volumes.remove(decode(messages.Name).Name)
        return encode(messages.Done())

    return routes
