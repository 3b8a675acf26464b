"""`pyvol jobs`: work of the daemon that takes longer than a request."""

import click

from pyvol.api.v1.schema.jobs import JobInfo, JobState
from pyvol.cli.options import json_option, socket_option
from pyvol.cli.progress import await_end, done_cell
from pyvol.cli.table import ago, show_json, show_table
from pyvol.cli.volume_names import complete_job
from pyvol.client.pyvol_api import Client, RequestRefused
from pyvol.core.errors import PyvolError

CANCEL_S = 5.0
"""How long `cancel` waits for the end: a copy is deleted before its job ends, and that may take a while."""


@click.group("jobs", short_help="List, wait for and cancel copies and other long work.", invoke_without_command=True)
@socket_option
@json_option
@click.pass_context
def jobs_(context: click.Context, client: Client, *, as_json: bool) -> None:
    """List the daemon's jobs, the latest first: copies of `adopt`, emptying the trash, counting usage.

    A job continues when the command that started it has ended. pyvol remembers the last 100 jobs until it
    restarts.

    \b
    Examples:
      pyvol jobs
      pyvol jobs --json
      pyvol jobs wait 3f2a9c04d1e87b56
      pyvol jobs cancel 3f2a9c04d1e87b56
    """
    if context.invoked_subcommand is not None:
        return
    jobs = client.jobs()
    if as_json:
        show_json(jobs)
        return
    show_table(("ID", "WHAT", "VOLUME", "STATE", "DONE", "STARTED", "NOTE"), [_row(job) for job in jobs], "No jobs.")


@jobs_.command("wait", short_help="Wait until a job has ended.")
@click.argument("job_id", metavar="ID", shell_complete=complete_job)
@socket_option
@json_option
def wait(job_id: str, client: Client, *, as_json: bool) -> None:
    """Wait until a job has ended; a terminal shows how far it is. Fails if the job fails or is cancelled.

    \b
    Examples:
      pyvol jobs wait 3f2a9c04d1e87b56
    """
    job = await_end(client, client.job(job_id))
    _show(job, as_json=as_json)
    if job.error is not None:
        raise RequestRefused(job.error)
    if job.state is JobState.CANCELLED:
        raise PyvolError(f"job {job.id} was cancelled after {done_cell(job)}")


@jobs_.command("cancel", short_help="Make a job end early.")
@click.argument("job_id", metavar="ID", shell_complete=complete_job)
@socket_option
@json_option
def cancel(job_id: str, client: Client, *, as_json: bool) -> None:
    """Make a job end early. What it has begun is undone, and what it has finished stays.

    A cancelled copy is deleted, and its source stays. Removed volumes that are not deleted yet stay in the
    trash. A job that has ended already stays as it is.

    \b
    Examples:
      pyvol jobs cancel 3f2a9c04d1e87b56
    """
    _show(client.cancel_job(job_id, CANCEL_S), as_json=as_json)


def _show(job: JobInfo, *, as_json: bool) -> None:
    if as_json:
        show_json(job)
    else:
        state = job.state if job.ended else "still being cancelled"
        click.echo(f"{' '.join(filter(None, [job.what, job.volume]))}: {state}")


def _row(job: JobInfo) -> tuple[str, ...]:
    note = job.error.Err if job.error else "" if job.ended else job.doing
    return (job.id, job.what, job.volume, job.state, done_cell(job), ago(job.started or job.created), note)
