"""Programs that run to their end."""

import signal
import time
from pathlib import Path

import pytest

from deadline import await_true
from pyvol.host.processes import run


class Interrupted(Exception):
    """What a test raises while a program runs."""


def test_a_program_ends_with_its_status_and_its_output() -> None:
    """Bytes that are not UTF-8 are part of an error message, not an error."""
    assert run.run(["sh", "-c", r"echo out; printf 'bad \377' >&2; exit 3"]) == (3, b"out\n", "bad \ufffd")
    assert run.run(["cat"], 30) == (0, b"", "")  # it has nothing to read
    assert run.has("sh")
    assert not run.has("no-such-program")


def test_a_program_that_takes_too_long_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """A child of the program would keep its output open, and pyvol would wait for that."""
    script = f"sleep 300 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait"
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="it has not ended after 1 s"):
        run.run(["sh", "-c", script], 1.0)
    assert time.monotonic() - begun < 100
    child = int((tmp_path / "pid").read_text())
    await_true(lambda: not is_running(child))


def test_a_wait_that_is_interrupted_leaves_no_process(tmp_path: Path) -> None:
    """The caller gets the error of the interruption."""

    def interrupt(*_: object) -> None:
        if (tmp_path / "pid").exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(Interrupted):
            run.run(["sh", "-c", f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 300"])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not is_running(int((tmp_path / "pid").read_text()))


def is_running(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
