"""The control API, `/v1/…` on the same socket: what the CLI needs beyond Docker's verbs."""

from flask import Blueprint, Response
from msgspec import structs

from pyvol.api import messages
from pyvol.api.codec import decode, encode
from pyvol.core.lifecycle.rename import Renamer
from pyvol.core.lifecycle.trash import Trash
from pyvol.core.lifecycle.volumes import Volumes
from pyvol.core.model import options
from pyvol.core.model.text import escape_control_chars
from pyvol.core.model.volume import Volume
from pyvol.core.status.compare import compare
from pyvol.core.status.doctor import Doctor
from pyvol.core.status.volume_status import VolumeStatus


def blueprint(  # noqa: C901  # one route after the other, no branches
    volumes: Volumes, volume_status: VolumeStatus, trash: Trash, doctor: Doctor, renaming: Renamer
) -> Blueprint:
    """Return the routes of the control API."""
    routes = Blueprint("control", __name__, url_prefix="/v1")

    def info(volume: Volume) -> messages.VolumeInfo:
        return messages.VolumeInfo(
            name=volume.name,
            id=volume.id,
            pool=volume.spec.pool,
            mountpoint=volume_status.place(volume),
            created=volume.created,
            options=options.shown(volume.spec),
            claims=volume_status.claim_count(volume),
            health=volume_status.health(volume),
            on_remove=volume_status.on_remove(volume),
            shared=volume_status.is_shared(volume),
            usage=volume_status.usage(volume),
            labels=dict(volume.labels),
            refusal=volume_status.refusal(volume),
        )

    def trashed(volume: Volume) -> messages.TrashInfo:
        return messages.TrashInfo(
            volume.name, volume.id, volume.spec.pool, volume.removed, volume.until, volume_status.usage(volume)
        )

    @routes.get("/volumes")
    def list_() -> Response:
        volumes.catch_up()
        return encode([info(volume) for volume in volumes.all()])

    @routes.get("/volumes/<name>")
    def inspect(name: str) -> Response:
        return encode(info(volumes.get(name)))

    @routes.post("/volumes/<name>/set")
    def set_(name: str) -> Response:
        asked = decode(messages.SetOptions)
        return encode(info(volumes.change(name, asked.options, asked.labels)))

    @routes.post("/volumes/<name>/compare")
    def compare_(name: str) -> Response:
        return encode(compare(volumes, name, decode(messages.Compare).options))

    @routes.post("/volumes/<name>/rename")
    def rename(name: str) -> Response:
        return encode(info(renaming.rename(volumes.get(name), decode(messages.Rename).new_name)))

    @routes.post("/volumes/<name>/trash")
    def move_to_trash(name: str) -> Response:
        volumes.remove(volumes.get(name).name, undoable=True)
        return encode(messages.Done())

    @routes.get("/claims")
    def claims() -> Response:
        own = [
            messages.ClaimInfo(claim.volume, claim.mount_id, claim.count, claim.generation, stale, claim.since)
            for claim, stale in volume_status.claims()
        ]
        foreign = volume_status.foreign_claims()
        theirs = [
            messages.ClaimInfo(holder.volume, "", 1, 0, stale=False, since=holder.since, host=holder.host)
            for holder in foreign.holders
        ]
        return encode(messages.Claims(own + theirs, [messages.NotAsked(*pair) for pair in foreign.not_asked.items()]))

    @routes.get("/trash")
    def trash_list() -> Response:
        volumes.catch_up()
        return encode([trashed(volume) for volume in trash.all()])

    @routes.post("/trash/empty")
    def trash_empty() -> Response:
        asked = decode(messages.EmptyTrash)
        emptied = trash.empty(asked.names, kept_too=asked.kept_too)
        return encode(
            messages.Emptied([trashed(volume) for volume in emptied.gone], [*map(escape_control_chars, emptied.failed)])
        )

    @routes.get("/trash/empty")
    def trash_emptying() -> Response:
        return encode(trash.emptying)

    @routes.post("/undelete")
    def undelete() -> Response:
        asked = decode(messages.Undelete)
        volumes.catch_up()
        return encode(info(trash.undelete(asked.name, asked.new_name)))

    @routes.get("/doctor")
    def doctor_() -> Response:
        return encode(
            [structs.replace(found, summary=escape_control_chars(found.summary)) for found in doctor.examine()]
        )

    return routes
