"""The route of the control API that counts the disk usage of volumes."""

from flask import Blueprint, Response

from pyvol.api.codec import decode, to_json
from pyvol.api.v1.jobs import start
from pyvol.api.v1.schema import usage as schema
from pyvol.core.concurrency.jobs import Jobs
from pyvol.core.concurrency.task import Task
from pyvol.core.status.usage import COUNT, Usage, Usages


def blueprint(usages: Usages, jobs: Jobs) -> Blueprint:
    """Return the route."""
    routes = Blueprint("usage", __name__)

    @routes.post("/v1/usage")
    def count() -> Response:
        volumes = usages.choose(decode(schema.CountRequest).names)

        def work(task: Task) -> bytes:
            usages.count(volumes, task)
            return to_json({volume.name: usage_info(usages.of(volume)) for volume in volumes})

        return start(jobs, COUNT, volumes[0].name if len(volumes) == 1 else "", work)

    return routes


def usage_info(usage: Usage | None) -> schema.UsageInfo | None:
    """Return a count as a message."""
    return schema.UsageInfo(usage.bytes, usage.files, usage.counted, usage.problem) if usage else None
