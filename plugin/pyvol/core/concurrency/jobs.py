"""All work that takes longer than a request: copies, emptying the trash, counting usage.

A request starts a job and gets its id. The job continues when the client that started it is gone; any client
can look at it, wait for it and cancel it. Jobs end with the daemon, and the next start cleans up what they
began. The registry is in memory, so that a restart forgets all jobs.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pyvol.core.concurrency.task import Task
from pyvol.core.errors import Busy, InternalError, NotFound, PyvolError
from pyvol.core.model.event_kind import EventKind
from pyvol.core.ports.host import Clock, VolumeLog

KEPT = 100
"""How many ended jobs the registry remembers."""
KEPT_BYTES = 8 << 20
"""How much their results may take in memory: emptying a trash of 10,000 volumes has a result of 2 MB."""
QUEUED = 100
"""How many jobs of one kind may wait for others of their kind; after that, a start is refused."""
WAITING = 8
"""How many requests wait for the end of a job at a time. Each holds a thread of the 128; others ask again."""
LONGEST_WAIT_S = 20.0
LAST_WAIT_S = 1.0
"""How long a request waits for a job after a stop: some work, such as a sync, cannot end at once."""
STOPPING = "pyvol is stopping"


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobKind(NamedTuple):
    """What all jobs of a kind have in common.

    Attributes:
        what: what such a job does, in a word or two.
        unit: what its progress counts.
        at_once: how many jobs of this kind run at a time; the others are queued.
    """

    what: str
    unit: str
    at_once: int


class JobStatus(NamedTuple):
    """The state of a job and all that changes with it.

    Attributes:
        state: where the job is.
        started: when it began to run.
        ended: when it ended.
        result: what its work returned, as JSON; empty if it failed.
        error: why it failed, or what the cancelled work raised.
    """

    state: JobState
    started: datetime | None = None
    ended: datetime | None = None
    result: bytes = b""
    error: PyvolError | None = None


class Job(Task):
    """One job.

    Args:
        job_id: unique, also across restarts.
        kind: what it does.
        volume: the volume that it is about; empty if it is about none, or about several.
        work: does it, and returns the result as JSON.
        created: when a client asked for it.

    Attributes:
        status: replaced as a whole, so that a reader always sees one moment.
    """

    def __init__(
        self, job_id: str, kind: JobKind, volume: str, work: Callable[[Task], bytes], created: datetime
    ) -> None:
        super().__init__()
        self.id = job_id
        self.kind = kind
        self.volume = volume
        self.work = work
        self.created = created
        self.status = JobStatus(JobState.QUEUED)

    @property
    def has_ended(self) -> bool:
        """Return whether nothing changes any more."""
        return self.status.ended is not None


class Jobs:
    """The registry of jobs.

    Args:
        clock: the time.
        new_id: makes a job's id.
        log: the log, for jobs that fail.
    """

    def __init__(self, clock: Clock, new_id: Callable[[], str], log: VolumeLog) -> None:
        self._clock = clock
        self._new_id = new_id
        self._log = log
        self._jobs: dict[str, Job] = {}
        self._ended: deque[Job] = deque()
        self._is_stopping = False
        self._changed = threading.Condition()
        self._places = threading.BoundedSemaphore(WAITING)

    def start(self, kind: JobKind, volume: str, work: Callable[[Task], bytes]) -> Job:
        """Start a job, or queue it behind the jobs of its kind.

        Raises:
            Busy: the daemon stops, or too many jobs are queued.
        """
        with self._changed:
            if self._is_stopping:
                raise Busy(f"{kind.what} was not started", STOPPING, "try again")
            if len(self._in(JobState.QUEUED, kind)) >= QUEUED:
                raise Busy(f"{kind.what} was not started", f"{QUEUED} such jobs are queued", "try again later")
            job = Job(self._new_id(), kind, volume, work, self._clock())
            self._jobs[job.id] = job
            self._run_next(kind)
        return job

    def all(self) -> list[Job]:
        """Return all jobs that the registry remembers, the latest first."""
        with self._changed:
            return list(reversed(self._jobs.values()))

    def get(self, job_id: str, wait_s: float = 0) -> Job:
        """Return a job; waits until it has ended, but no longer than `wait_s` and `LONGEST_WAIT_S`.

        If too many requests wait already, this one does not wait.

        Raises:
            NotFound: there is no such job, or the registry no longer remembers it.
        """
        with self._changed:
            job = self._jobs.get(job_id)
        if job is None:
            raise NotFound(
                f"job {job_id!r} does not exist",
                "the id is wrong, or pyvol no longer remembers the job",
                "`pyvol jobs` lists all jobs",
            )
        if wait_s > 0 and not job.has_ended and self._places.acquire(blocking=False):
            try:
                with self._changed:
                    self._changed.wait_for(lambda: job.has_ended or self._is_stopping, min(wait_s, LONGEST_WAIT_S))
                    if self._is_stopping:
                        self._changed.wait_for(lambda: job.has_ended, min(wait_s, LAST_WAIT_S))
            finally:
                self._places.release()
        return job

    def cancel(self, job_id: str) -> Job:
        """Make a job end early and return it; does not wait for its end.

        A job that has ended stays as it is.
        """
        job = self.get(job_id)
        self._cancel(job, "it was cancelled")
        return job

    def stop(self) -> None:
        """Cancel all jobs and refuse new ones: the daemon stops. Does not wait."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        for job in self.all():
            self._cancel(job, STOPPING)

    def join(self, patience_s: float) -> None:
        """Wait until all jobs have ended, but no longer than this. Call `stop` first."""
        with self._changed:
            self._changed.wait_for(lambda: all(job.has_ended for job in self._jobs.values()), patience_s)

    def _cancel(self, job: Job, reason: str) -> None:
        with self._changed:
            if job.status.state is JobState.QUEUED:
                self._end(job, JobStatus(JobState.CANCELLED, error=PyvolError(job.kind.what, reason)))
        job.cancel(reason)

    def _in(self, state: JobState, kind: JobKind) -> Sequence[Job]:
        return [job for job in self._jobs.values() if job.status.state is state and job.kind == kind]

    def _run_next(self, kind: JobKind) -> None:
        """Start the first job that is queued, if there is room for it. Call it with the lock held."""
        queued = self._in(JobState.QUEUED, kind)
        if queued and len(self._in(JobState.RUNNING, kind)) < kind.at_once:
            job = queued[0]
            job.status = JobStatus(JobState.RUNNING, started=self._clock())
            try:
                threading.Thread(target=self._run, args=(job,), name=f"job {job.id}", daemon=True).start()
            except RuntimeError as error:  # too many threads: a job that never ends would keep its place for ever
                failed = Busy(f"{kind.what} was not started", str(error), "try again later")
                self._end(job, JobStatus(JobState.FAILED, error=failed))
                self._run_next(kind)

    def _run(self, job: Job) -> None:
        result, error = b"", None
        try:
            result = job.work(job)
        except PyvolError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001  # a job without an end would be waited for
            self._log.warning("job failed unexpectedly", job=job.id, what=job.kind.what, exc_info=failure)
            error = InternalError(
                f"{job.kind.what}: pyvol failed ({type(failure).__name__})", hint="its log has the details"
            )
        if job.is_cut_short or (error is not None and job.reason):
            state = JobState.CANCELLED
        else:
            state = JobState.DONE if error is None else JobState.FAILED
        if error is not None:
            # The frames of the failed work would stay in memory with it.
            error.__cause__ = error.__context__ = error.__traceback__ = None
            self._report(job, state, error)
        with self._changed:
            self._end(job, JobStatus(state, result=result, error=error))
            self._run_next(job.kind)

    def _report(self, job: Job, state: JobState, error: PyvolError) -> None:
        if state is JobState.CANCELLED:
            self._log.info("job cancelled", volume=job.volume, job=job.id, what=job.kind.what, error=str(error))
        else:
            self._report_failure(job, error)

    def _report_failure(self, job: Job, error: PyvolError) -> None:
        what = job.kind.what
        if job.volume:
            self._log.event(EventKind.FAILED, job.volume, code=error.code, job=job.id, what=what, error=str(error))
        else:
            self._log.warning("job failed", job=job.id, what=what, error=str(error))

    def _end(self, job: Job, status: JobStatus) -> None:
        """Record the end of a job, and forget the oldest jobs that have ended. Call it with the lock held."""
        job.status = status._replace(started=job.status.started, ended=self._clock())
        job.work = _nothing  # it may hold much
        self._ended.append(job)
        while len(self._ended) > KEPT or (len(self._ended) > 1 and self._result_bytes() > KEPT_BYTES):
            del self._jobs[self._ended.popleft().id]
        self._changed.notify_all()

    def _result_bytes(self) -> int:
        return sum(len(job.status.result) for job in self._ended)


def _nothing(_: Task) -> bytes:
    return b""
