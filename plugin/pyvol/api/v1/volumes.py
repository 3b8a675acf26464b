"""Routes of the control API for volumes and their claims."""

from flask import Blueprint, Response

from pyvol.api.codec import decode, encode
from pyvol.api.messages import Done
from pyvol.api.v1.schema import volumes as schema
from pyvol.api.v1.usage import usage_info
from pyvol.core.lifecycle.rename import Renamer
from pyvol.core.lifecycle.volumes import Volumes
from pyvol.core.model import options
from pyvol.core.model.volume import Volume
from pyvol.core.status import compare
from pyvol.core.status.volume_status import VolumeStatus


def blueprint(volumes: Volumes, volume_status: VolumeStatus, renaming: Renamer) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("volumes", __name__, url_prefix="/v1")

    def info(volume: Volume) -> schema.VolumeInfo:
        return volume_info(volume, volume_status)

    @routes.get("/volumes")
    def list_() -> Response:
        volumes.catch_up()
        return encode([info(volume) for volume in volumes.all()])

    @routes.get("/volumes/<name>")
    def inspect(name: str) -> Response:
        return encode(info(volumes.get(name)))

    @routes.post("/volumes/<name>/set")
    def set_(name: str) -> Response:
        asked = decode(schema.SetOptions)
        return encode(info(volumes.change(name, asked.options, asked.labels)))

    @routes.post("/volumes/<name>/compare")
    def compare_(name: str) -> Response:
        return encode(_comparison(compare.compare(volumes, name, decode(schema.Compare).options)))

    @routes.post("/volumes/<name>/rename")
    def rename(name: str) -> Response:
        return encode(info(renaming.rename(volumes.get(name), decode(schema.Rename).new_name)))

    @routes.post("/volumes/<name>/trash")
    def move_to_trash(name: str) -> Response:
        volumes.remove(volumes.get(name).name, undoable=True)
        return encode(Done())

    @routes.get("/claims")
    def claims() -> Response:
        return encode(_claims(volume_status))

    return routes


def volume_info(volume: Volume, volume_status: VolumeStatus) -> schema.VolumeInfo:
    """Return a volume as a message."""
    return schema.VolumeInfo(
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
        usage=usage_info(volume_status.usage(volume)),
        labels=dict(volume.labels),
        refusal=volume_status.refusal(volume),
    )


def _claims(volume_status: VolumeStatus) -> schema.Claims:
    own = [
        schema.ClaimInfo(claim.volume, claim.mount_id, claim.count, claim.generation, stale, claim.since)
        for claim, stale in volume_status.claims()
    ]
    foreign = volume_status.foreign_claims()
    theirs = [
        schema.ClaimInfo(holder.volume, "", 1, 0, stale=False, since=holder.since, host=holder.host)
        for holder in foreign.holders
    ]
    return schema.Claims(own + theirs, [schema.NotAsked(*pair) for pair in foreign.not_asked.items()])


def _comparison(found: compare.Comparison) -> schema.Comparison:
    differences = [
        schema.Difference(difference.option, difference.held, difference.asked, difference.mutable)
        for difference in found.differences
    ]
    return schema.Comparison(found.exists, found.now, found.problem, tuple(differences))
