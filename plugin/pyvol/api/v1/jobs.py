"""Routes of the control API for jobs. A reply closes its connection; a client that waits asks again."""

from collections.abc import Callable

from flask import Blueprint, Response, request
from msgspec import Raw

from pyvol.api.codec import encode, failure_of
from pyvol.api.v1.schema import jobs as schema
from pyvol.core.concurrency.jobs import Job, JobKind, Jobs
from pyvol.core.concurrency.task import Task
from pyvol.core.errors import BadRequest

OK = 200
ACCEPTED = 202


def blueprint(jobs: Jobs) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

    @routes.get("")
    def list_() -> Response:
        return encode([*map(job_info, jobs.all())])

    @routes.get("/<job>")
    def inspect(job: str) -> Response:
        return encode(job_info(jobs.get(job, wait_s())))

    @routes.post("/<job>/cancel")
    def cancel(job: str) -> Response:
        patience_s = wait_s()  # which may refuse the request, so it comes first
        return encode(job_info(jobs.get(jobs.cancel(job).id, patience_s)))

    return routes


def start(jobs: Jobs, kind: JobKind, volume: str, work: Callable[[Task], bytes]) -> Response:
    """Start a job and return the reply, which waits for the job's end as long as the request says."""
    patience_s = wait_s()
    job = jobs.get(jobs.start(kind, volume, work).id, patience_s)
    return encode(job_info(job), OK if job.has_ended else ACCEPTED)


def wait_s() -> float:
    """Return how long the request waits for the end of a job."""
    try:
        return float(request.args.get("wait", "0"))
    except ValueError as error:
        raise BadRequest(f"{request.path.lstrip('/')}: wait has to be a number of seconds: {error}") from None


def job_info(job: Job) -> schema.JobInfo:
    """Return a job as a message."""
    status, progress = job.status, job.progress
    return schema.JobInfo(
        id=job.id,
        what=job.kind.what,
        volume=job.volume,
        state=schema.JobState(status.state),
        done=progress.done,
        of=progress.of,
        unit=job.kind.unit,
        doing=progress.doing,
        created=job.created,
        started=status.started,
        ended=status.ended,
        result=Raw(status.result or b"null"),
        error=failure_of(status.error) if status.error else None,
    )
