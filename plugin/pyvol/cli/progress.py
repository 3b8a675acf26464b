"""Waiting for a job of the daemon: a terminal shows how far it is, and Ctrl-C ends only the waiting."""

from typing import TypeVar

import click

from pyvol.api.v1.schema.jobs import JobInfo, JobState
from pyvol.client.pyvol_api import Client
from pyvol.core.model.units import format_bytes

T = TypeVar("T")


def await_job(client: Client, job: JobInfo, kind: type[T], left: str = "") -> T:
    """Wait for a job and return its result.

    If Ctrl-C ends the command, it prints what is `left` for the user to do after the job.

    Raises:
        RequestRefused: the job failed, or was cancelled before it had a result.
    """
    return client.result(await_end(client, job, left), kind)


def await_end(client: Client, job: JobInfo, left: str = "") -> JobInfo:
    """Return a job when it has ended, in whatever way; Ctrl-C ends the command, and the job continues."""
    from rich.console import Console  # noqa: PLC0415  # only a command that waits shows progress
    from rich.text import Text  # noqa: PLC0415  # the same

    try:
        with Console(stderr=True).status(Text(_summary(job))) as shown:
            return client.wait(job, lambda now: shown.update(Text(_summary(now))))
    except KeyboardInterrupt:
        click.echo(
            f"\npyvol continues job {job.id} ({job.what}): `pyvol jobs wait {job.id}` waits for it again, "
            f"`pyvol jobs cancel {job.id}` ends it{left and f'. When it is done: {left}'}",
            err=True,
        )
        raise click.exceptions.Exit(1) from None  # not KeyboardInterrupt: click would say that all is aborted


def done_cell(job: JobInfo) -> str:
    """Return how far a job is: `1.2 GiB of 3.0 GiB`, `3 of 7 volumes`; empty if nobody knows."""
    if job.unit == "bytes":
        # The blocks of a copy's directories can be fewer than the ones of its source.
        done, of = format_bytes(job.of if job.state is JobState.DONE else job.done), format_bytes(job.of)
        return f"{done} of {of}" if job.of else ""
    return f"{job.done} of {job.of} {job.unit}" if job.of else ""


def _summary(job: JobInfo) -> str:
    what = " ".join(filter(None, [job.what, job.volume]))
    return ": ".join(filter(None, [what, "; ".join(filter(None, [done_cell(job), job.doing]))]))
