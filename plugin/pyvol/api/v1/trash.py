"""Routes of the control API for removed volumes."""

from flask import Blueprint, Response

from pyvol.api.codec import decode, encode, to_json
from pyvol.api.v1.jobs import start
from pyvol.api.v1.schema import trash as schema
from pyvol.api.v1.usage import usage_info
from pyvol.api.v1.volumes import volume_info
from pyvol.core.concurrency.jobs import Jobs
from pyvol.core.concurrency.task import Task
from pyvol.core.lifecycle.trash import EMPTY, Trash
from pyvol.core.lifecycle.volumes import Volumes
from pyvol.core.model.text import escape_control_chars
from pyvol.core.model.volume import Volume
from pyvol.core.status.volume_status import VolumeStatus


def blueprint(volumes: Volumes, volume_status: VolumeStatus, trash: Trash, jobs: Jobs) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("trash", __name__, url_prefix="/v1")

    def info(volume: Volume) -> schema.TrashInfo:
        usage = usage_info(volume_status.usage(volume))
        return schema.TrashInfo(volume.name, volume.id, volume.spec.pool, volume.removed, volume.until, usage)

    @routes.get("/trash")
    def list_() -> Response:
        volumes.catch_up()
        return encode([info(volume) for volume in trash.all()])

    @routes.post("/trash/empty")
    def empty() -> Response:
        asked = decode(schema.EmptyTrash)
        chosen = trash.choose(asked.names, kept_too=asked.kept_too)

        def work(task: Task) -> bytes:
            gone, failed = trash.empty(chosen, task)
            return to_json(schema.Emptied([*map(info, gone)], [*map(escape_control_chars, failed)]))

        return start(jobs, EMPTY, chosen[0].name if len(chosen) == 1 else "", work)

    @routes.post("/undelete")
    def undelete() -> Response:
        asked = decode(schema.Undelete)
        volumes.catch_up()
        return encode(volume_info(trash.undelete(asked.name, asked.new_name), volume_status))

    return routes
