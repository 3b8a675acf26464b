"""Jobs of a daemon that serves: they continue without their client, and end with the daemon."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from answering import engine
from deadline import await_true
from pyvol.api.v1.schema.adopt import Adopt, AdoptKind
from pyvol.api.v1.schema.jobs import JobInfo, JobState
from pyvol.api.v1.schema.trash import Emptied
from pyvol.client.pyvol_api import Client, RequestRefused
from pyvol.core.concurrency.jobs import LONGEST_WAIT_S
from served import PATIENCE_S, Served, parse

STUCK = '#!/bin/sh\nfor last; do :; done\nmkdir "$last"\necho half > "$last/half"\ntouch {gate}.begun\n'


class Copying(Served):
    """A daemon whose copies end when a file appears."""

    gate: Path
    source: Path

    def adopt(self) -> JobInfo:
        """Start a copy; return when cp is at work."""
        with self.client() as client:
            job = client.adopt(Adopt("v", AdoptKind.ENGINE, source=str(self.source)))
        await_true(Path(f"{self.gate}.begun").exists, "cp to begin")
        return job

    def copies(self) -> list[Path]:
        """What a copy under way, or one that was cut off, has left."""
        return list((self.root / "staging").iterdir())


@pytest.fixture
def copying(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Copying]:
    """A daemon, and a directory of an engine's on another file system."""
    gate, programs = tmp_path / "gate", tmp_path / "bin"
    programs.mkdir()
    end = f'while ! [ -e {gate} ]; do sleep 0.02; done\nrm -r "$last"\nexec /bin/cp "$@"\n'
    (programs / "cp").write_text(STUCK.format(gate=gate) + end)
    (programs / "cp").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    daemon = Copying(tmp_path)
    daemon.gate, daemon.source, daemon.root = gate, tmp_path / "docker/volumes/v/_data", scratch / "pool"
    daemon.source.mkdir(parents=True)
    (daemon.source / "file").write_text("kept")
    daemon.start()
    yield daemon
    if daemon.process is not None and daemon.process.poll() is None:
        daemon.stop()


def listed(daemon: Served) -> list[dict[str, Any]]:
    """What `pyvol jobs` prints for scripts."""
    rows: list[dict[str, Any]] = json.loads(daemon.cli("jobs", "--json").stdout)
    return rows


def test_a_job_outlives_the_command_that_started_it(copying: Copying) -> None:
    """Ctrl-C ends only the waiting, and prints what to do next; the volume exists when the copy has ended."""
    words = ["adopt", "--engine", "/nope", "--path", str(copying.source), "--name", "v", "--move", "--force"]
    shown = interrupt(copying, *words)
    (job,) = listed(copying)
    left = f"When it is done: {copying.source} stays: delete it when you have looked at the volume"
    assert f"`pyvol jobs cancel {job['id']}` ends it. {left}" in shown
    assert (job["what"], job["volume"], job["state"], job["unit"]) == ("adopt", "v", "running", "bytes")
    assert [job["id"], "adopt", "v", "running"] == copying.cli("jobs").stdout.splitlines()[1].split()[:4]
    copying.gate.touch()
    waited = copying.cli("jobs", "wait", job["id"])
    assert (waited.returncode, waited.stdout, waited.stderr) == (0, "adopt v: done\n", "")
    assert (copying.root / "volumes/v/_data/file").read_text() == "kept"
    (job,) = listed(copying)
    assert (job["state"], job["result"]["how"]) == ("done", "copy")


def test_an_interrupted_command_names_what_is_left_in_docker(copying: Copying, tmp_path: Path) -> None:
    """The daemon cannot replace Docker's volume after the copy: the command prints how to do it."""
    volume = {"Name": "v", "Driver": "local", "Mountpoint": str(copying.source), "Labels": {"owner": "ada"}}
    said = {"/volumes": {"Volumes": [volume]}, "/containers/json?all=1": []}
    with engine(tmp_path / "engine.sock", said) as socket_path:
        shown = interrupt(copying, "adopt", "--engine", str(socket_path), "--from-local", "v", "--force")
    assert (
        "When it is done: `docker volume rm v` if Docker still shows driver local, "
        "then `docker volume create -d pyvol --label owner=ada v`"
    ) in shown


def interrupt(copying: Copying, *words: str) -> str:
    """Run a command in a terminal and interrupt its wait for a copy; return what it prints then."""
    ours, terminal = os.openpty()
    environment = {**copying.environment, "TERM": "xterm", "COLUMNS": "200"}
    command = subprocess.Popen([sys.executable, "-m", "pyvol", *words], env=environment, stderr=terminal)
    os.close(terminal)
    with command, os.fdopen(ours, "rb", buffering=0) as errors:
        assert b"adopt v: " in read_until(errors, b"copying")
        command.send_signal(signal.SIGINT)
        shown = read_until(errors, b"When it is done: ").decode()
        with suppress(OSError):  # the terminal is gone when the command has ended
            while more := errors.read(4096):
                shown += more.decode()
    assert command.returncode == 1
    assert "Aborted" not in shown
    return shown


def read_until(terminal: IO[bytes], word: bytes) -> bytes:
    """What a terminal shows up to a word, and what follows at once."""
    shown = b""
    while word not in shown:
        assert select.select([terminal], [], [], PATIENCE_S)[0], shown
        shown += terminal.read(4096)
    return shown


def test_a_copy_is_cancelled(copying: Copying) -> None:
    """Its source is whole, nothing of the copy is left, a waiting command fails, and it can be repeated."""
    job = copying.adopt()
    cancelled = copying.cli("jobs", "cancel", job.id)
    assert (cancelled.returncode, cancelled.stdout) == (0, "adopt v: cancelled\n")
    assert copying.copies() == []
    assert (copying.source / "file").read_text() == "kept"
    waited = copying.cli("jobs", "wait", job.id)
    assert (waited.returncode, "stay where they are: it was cancelled" in waited.stderr) == (1, True)
    with copying.client() as client:
        assert client.volumes() == []
        copying.gate.touch()
        client.result(client.adopt(Adopt("v", AdoptKind.ENGINE, source=str(copying.source))), dict[str, str])
        assert [volume.name for volume in client.volumes()] == ["v"]
        assert client.cancel_job(job.id).state is JobState.CANCELLED
    unknown = copying.cli("jobs", "cancel", "nothing")
    assert (unknown.returncode, "job 'nothing' does not exist" in unknown.stderr) == (3, True)


def test_a_cancel_while_a_job_ends_leaves_a_volume_or_none(copying: Copying) -> None:
    """At whatever moment it comes, what the job says is what there is."""
    copying.gate.touch()
    states = set()
    for delay_ms in range(0, 200, 10):
        name = f"v{delay_ms}"
        source = copying.source.parents[1] / name / "_data"
        source.mkdir(parents=True)
        (source / "file").write_text("kept")
        with copying.client() as client, copying.client() as other, ThreadPoolExecutor(1) as pool:
            adopting = pool.submit(client.adopt, Adopt(name, AdoptKind.ENGINE, source=str(source)))
            await_true(partial(_has_job, other, name), "the job")
            (job,) = [job for job in other.jobs() if job.volume == name]
            other.job(job.id, delay_ms / 1000)
            other.cancel_job(job.id)
            adopting.result(PATIENCE_S)
            job = other.wait(job)
            states.add(job.state)
            assert job.state in {JobState.DONE, JobState.CANCELLED}
            names = [volume.name for volume in other.volumes()]
        assert (name in names) is (job.state is JobState.DONE)
        assert source.exists() is (job.state is JobState.CANCELLED)
        assert copying.copies() == []
    assert JobState.CANCELLED in states


def _has_job(client: Client, volume: str) -> bool:
    """Return whether there is a job for a volume."""
    return any(job.volume == volume for job in client.jobs())


def test_two_emptyings_at_once(served: Served) -> None:
    """The second one waits for the first, and each volume is deleted by one of them; none is a failure."""
    for number in range(20):
        served.ok("VolumeDriver.Create", {"Name": f"v{number}"})
        served.ok("VolumeDriver.Remove", {"Name": f"v{number}"})

    def empty(_: int) -> Emptied:
        with served.client() as client:
            return client.result(client.empty_trash(), Emptied)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(empty, range(4)))
    assert sorted(volume.name for result in results for volume in result.gone) == sorted(f"v{n}" for n in range(20))
    assert [failed for result in results for failed in result.failed] == []
    with served.client() as client:
        assert client.trash() == []
        assert {job.state for job in client.jobs()} == {JobState.DONE}


@pytest.mark.parametrize("killed", [True, False])
def test_a_daemon_that_ends_in_a_job(copying: Copying, *, killed: bool) -> None:
    """The source is whole, the next start deletes the half copy, and no longer knows the job."""
    job = copying.adopt()
    if killed:
        copying.kill()
    else:
        assert copying.stop() == 0
        assert copying.copies() == []
    copying.start()
    await_true(lambda: copying.copies() == [], "the deletion of the half copy")
    assert (copying.source / "file").read_text() == "kept"
    with copying.client() as client:
        assert client.jobs() == []
        with pytest.raises(RequestRefused, match="no longer remembers the job"):
            client.job(job.id)
        copying.gate.touch()
        client.result(client.adopt(Adopt("v", AdoptKind.ENGINE, source=str(copying.source))), dict[str, str])
        assert [volume.name for volume in client.volumes()] == ["v"]


def test_clients_that_wait_are_answered_when_the_daemon_stops(copying: Copying) -> None:
    """With the end of the job, and its reason; a stop waits no longer than that."""
    job = copying.adopt()
    with ExitStack() as stack:
        connections = []
        for _ in range(4):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(PATIENCE_S)
            connection.connect(str(copying.socket))
            connection.sendall(f"GET /v1/jobs/{job.id}?wait=20 HTTP/1.1\r\nHost: p\r\n\r\n".encode())
            connections.append(connection)
        copying.ok("VolumeDriver.Capabilities", {})  # accepted after the others
        assert copying.process is not None
        copying.process.terminate()
        assert copying.process.wait(LONGEST_WAIT_S / 2) == 0
        ends = [parse(b"".join(iter(partial(connection.recv, 1 << 16), b""))).json for connection in connections]
    assert {end["state"] for end in ends} == {"cancelled"}
    assert all("pyvol is stopping" in end["error"]["Err"] for end in ends)
    assert copying.log.read_text().count("Traceback") == 0


def test_a_cancel_that_is_refused_cancels_nothing(copying: Copying) -> None:
    """The request says nonsense, and its answer is an error: the job continues."""
    job = copying.adopt()
    assert copying.post(f"v1/jobs/{job.id}/cancel?wait=soon", b"").status == 400
    copying.gate.touch()
    with copying.client() as client:
        assert client.wait(job).state is JobState.DONE


def test_nonsense_is_refused(served: Served) -> None:
    """And starts nothing."""
    raw = served.post("v1/trash/empty?wait=soon", b"{}")
    assert (raw.status, "wait has to be a number of seconds" in raw.json["Err"]) == (400, True)
    assert listed(served) == []
    assert parse(served.send(b"GET /v1/jobs/x HTTP/1.1\r\nHost: p\r\n\r\n")).status == 404
    assert served.cli("jobs").stderr == "No jobs.\n"
