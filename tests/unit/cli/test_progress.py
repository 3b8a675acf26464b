"""How far a job is, as people see it."""

from datetime import UTC, datetime

import pytest

from pyvol.api.v1.schema.jobs import JobInfo, JobState
from pyvol.cli.progress import done_cell


@pytest.mark.parametrize(
    ("state", "done", "of", "unit", "shown"),
    [
        (JobState.RUNNING, 3 << 19, 1 << 30, "bytes", "1.5 MiB of 1.0 GiB"),
        (JobState.DONE, 1023 << 20, 1 << 30, "bytes", "1.0 GiB of 1.0 GiB"),
        (JobState.CANCELLED, 1 << 20, 1 << 30, "bytes", "1.0 MiB of 1.0 GiB"),
        (JobState.DONE, 2, 3, "volumes", "2 of 3 volumes"),
        (JobState.QUEUED, 0, 0, "bytes", ""),
        (JobState.QUEUED, 0, 0, "volumes", ""),
    ],
)
def test_how_far_a_job_is(state: JobState, done: int, of: int, unit: str, shown: str) -> None:
    """A copy that is done is complete, even if its directories have fewer blocks than the source."""
    job = JobInfo("1", "adopt", "v", state, done, of, unit, "", created=datetime(2026, 1, 31, tzinfo=UTC))
    assert done_cell(job) == shown
