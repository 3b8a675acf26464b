"""The registry of jobs: their states, their queues, their ends, and what it remembers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from deadline import PATIENCE_S, await_true
from fakes import FakeClock, FakeLog
from pyvol.core.concurrency import jobs as module
from pyvol.core.concurrency.jobs import Job, JobKind, Jobs, JobState
from pyvol.core.concurrency.task import Task
from pyvol.core.errors import Busy, NotFound, StorageFailed
from pyvol.core.model.event_kind import EventKind

COPY = JobKind("copy", "bytes", at_once=1)
COUNT = JobKind("count", "volumes", at_once=2)


@pytest.fixture
def log() -> FakeLog:
    """What the registry reports."""
    return FakeLog()


@pytest.fixture
def jobs(log: FakeLog) -> Iterator[Jobs]:
    """A registry, whose jobs end with the test."""
    numbers = count(1)
    made = Jobs(FakeClock(), lambda: f"job-{next(numbers)}", log)
    yield made
    made.stop()
    made.join(PATIENCE_S)
    assert all(job.has_ended for job in made.all())


class Work:
    """Work that ends when the test says so, or when it is cancelled."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, task: Task) -> bytes:
        """Work."""
        self.begun.set()
        with task.on_cancel(self.may_end.set):
            assert self.may_end.wait(PATIENCE_S)
        task.report(1, 2)
        return b"cut short" if task.must_end() else b"whole"


def ended(jobs: Jobs, job: Job) -> Job:
    """The job when it has ended."""
    await_true(lambda: jobs.get(job.id, 1).has_ended, "the end of the job")
    return job


def test_a_job_has_a_result(jobs: Jobs) -> None:
    """A job runs while no client waits; later its times, its progress and its result can be read."""
    work = Work()
    job = jobs.start(COPY, "v", work)
    assert work.begun.wait(PATIENCE_S)
    assert (job.status.state, job.status.ended, job.volume) == (JobState.RUNNING, None, "v")
    work.may_end.set()
    assert ended(jobs, job).status.state is JobState.DONE
    assert (job.status.result, job.progress[:2], job.status.error) == (b"whole", (1, 2), None)
    assert job.status.started is not None
    assert job.status.ended is not None
    assert jobs.all() == [job]


def test_a_job_that_fails_says_why(jobs: Jobs, log: FakeLog) -> None:
    """With the error itself, without the frames of the work; the log has a line with the volume."""

    def fail(_: Task) -> bytes:
        raise StorageFailed("the disk is broken") from OSError(5, "Input/output error")

    job = ended(jobs, jobs.start(COPY, "v", fail))
    assert job.status.state is JobState.FAILED
    assert isinstance(job.status.error, StorageFailed)
    assert (job.status.error.__traceback__, job.status.error.__cause__) == (None, None)
    ((level, event, facts),) = log.lines
    assert (level, event, facts["volume"], facts["error"]) == ("event", EventKind.FAILED, "v", "the disk is broken")
    assert (facts["code"], facts["what"]) == ("storage_failed", "copy")


def test_an_unexpected_error_is_an_end_too(jobs: Jobs, log: FakeLog) -> None:
    """The log has the traceback, and the client a sentence."""

    def fail(_: Task) -> bytes:
        raise ZeroDivisionError

    job = ended(jobs, jobs.start(COPY, "v", fail))
    assert job.status.state is JobState.FAILED
    assert str(job.status.error) == "copy: pyvol failed (ZeroDivisionError): its log has the details"
    assert isinstance(log.lines[0][2]["exc_info"], ZeroDivisionError)


def test_a_job_is_cancelled(jobs: Jobs) -> None:
    """At once, and it keeps what it has done by then; a second cancel changes nothing."""
    job = jobs.start(COPY, "", Work())
    assert jobs.cancel(job.id) is job
    jobs.cancel(job.id)
    assert ended(jobs, job).status.state is JobState.CANCELLED
    assert job.status.result == b"cut short"


def test_a_job_that_raises_because_it_was_cancelled_has_not_failed(jobs: Jobs, log: FakeLog) -> None:
    """The error stays, for the client that waits."""

    def work(task: Task) -> bytes:
        killed = threading.Event()
        with task.on_cancel(killed.set):
            assert killed.wait(PATIENCE_S)
        raise StorageFailed(f"not copied: {task.reason}")

    job = jobs.start(COPY, "v", work)
    jobs.cancel(job.id)
    assert ended(jobs, job).status.state is JobState.CANCELLED
    assert str(job.status.error) == "not copied: it was cancelled"
    assert log.events == ["job cancelled"]


def test_a_cancel_that_comes_too_late_changes_nothing(jobs: Jobs) -> None:
    """Work that has passed its last check is done, also if somebody cancels it before it returns."""
    passed, may_return = threading.Event(), threading.Event()

    def work(task: Task) -> bytes:
        assert not task.must_end()
        passed.set()
        assert may_return.wait(PATIENCE_S)
        return b"whole"

    job = jobs.start(COPY, "", work)
    assert passed.wait(PATIENCE_S)
    jobs.cancel(job.id)
    may_return.set()
    assert ended(jobs, job).status.state is JobState.DONE
    assert jobs.cancel(job.id).status.state is JobState.DONE


def test_jobs_of_a_kind_wait_for_each_other(jobs: Jobs) -> None:
    """In the order of their starts; jobs of another kind do not wait for them."""
    works = [Work() for _ in range(3)]
    first, second, third = [jobs.start(COPY, "", work) for work in works]
    assert works[0].begun.wait(PATIENCE_S)
    assert ended(jobs, jobs.start(COUNT, "", lambda _: b"")).status.state is JobState.DONE
    assert [job.status.state for job in (second, third)] == [JobState.QUEUED] * 2
    jobs.cancel(second.id)
    assert second.status.state is JobState.CANCELLED
    assert str(second.status.error) == "copy: it was cancelled"
    works[0].may_end.set()
    assert works[2].begun.wait(PATIENCE_S)
    assert (ended(jobs, first).status.state, works[1].begun.is_set()) == (JobState.DONE, False)
    works[2].may_end.set()
    ended(jobs, third)


def test_too_many_queued_jobs_are_refused(jobs: Jobs) -> None:
    """A client that starts jobs without end fills no memory."""
    for _ in range(1 + module.QUEUED):
        jobs.start(COPY, "", Work())
    with pytest.raises(Busy, match="queued"):
        jobs.start(COPY, "", Work())
    jobs.start(COUNT, "", lambda _: b"")


def test_ended_jobs_are_forgotten(jobs: Jobs) -> None:
    """The oldest first: when there are too many, or when their results are too large; the latest stays."""
    first = ended(jobs, jobs.start(COUNT, "", lambda _: b""))
    for _ in range(module.KEPT):
        ended(jobs, jobs.start(COUNT, "", lambda _: b""))
    assert len(jobs.all()) == module.KEPT
    with pytest.raises(NotFound, match=f"{first.id!r} does not exist"):
        jobs.get(first.id)
    large = ended(jobs, jobs.start(COUNT, "", lambda _: b"x" * (module.KEPT_BYTES + 1)))
    assert jobs.all() == [large]


def test_a_stop_ends_all_jobs(jobs: Jobs) -> None:
    """Running and queued jobs end with the reason; a new job is refused."""
    running, queued = jobs.start(COPY, "", Work()), jobs.start(COPY, "", Work())
    jobs.stop()
    jobs.join(PATIENCE_S)
    assert [job.status.state for job in (running, queued)] == [JobState.CANCELLED] * 2
    assert running.reason == "pyvol is stopping"
    with pytest.raises(Busy, match="pyvol is stopping"):
        jobs.start(COPY, "", Work())


def test_a_stop_waits_for_no_request(jobs: Jobs) -> None:
    """Requests wait only a moment for work that cannot end at once, and no new request waits."""
    stuck, may_end = threading.Event(), threading.Event()

    def work(_: Task) -> bytes:
        stuck.set()
        assert may_end.wait(PATIENCE_S)
        return b""

    job = jobs.start(COPY, "v", work)
    assert stuck.wait(PATIENCE_S)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(jobs.get, job.id, PATIENCE_S)
        await_true(lambda: jobs._places._value < module.WAITING, "the request to wait")
        jobs.stop()
        assert not waiting.result(module.LONGEST_WAIT_S / 2).has_ended
        assert not jobs.get(job.id, PATIENCE_S).has_ended
    may_end.set()


def test_a_job_without_a_thread_fails(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can be started, the job ends with the reason, and its place is free again."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        job = jobs.start(COPY, "v", Work())
    assert (job.status.state, job.has_ended) == (JobState.FAILED, True)
    assert str(job.status.error) == "copy was not started: can't start new thread; try again later"
    assert ended(jobs, jobs.start(COPY, "v", lambda _: b"whole")).status.state is JobState.DONE


def test_few_requests_wait(jobs: Jobs) -> None:
    """Each takes a thread of the daemon, so the next one is answered at once."""
    work = Work()
    job = jobs.start(COPY, "", work)
    waiting = [threading.Thread(target=jobs.get, args=(job.id, PATIENCE_S)) for _ in range(module.WAITING)]
    for thread in waiting:
        thread.start()
    await_true(lambda: jobs._places._value == 0, "all places to be taken")
    assert not jobs.get(job.id, PATIENCE_S).has_ended
    work.may_end.set()
    for thread in waiting:
        thread.join(PATIENCE_S)
    assert job.has_ended
