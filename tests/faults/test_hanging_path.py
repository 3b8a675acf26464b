"""Storage that hangs like a dead server's: a `path=` volume on a FUSE file system whose server is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deadline import await_true
from pyvol.core.concurrency.bulkhead import MOST
from pyvol.daemon.gunicorn_server import THREADS
from served import PATIENCE_S, Served

from .filesystems import mounted, run
from .verbs import LIVE, VERBS, compare_with_disk, create, facts, mount, remove, unmount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.faults

TESTS = Path(__file__).resolve().parent.parent


class Share:
    """A directory whose server can be stopped."""

    def __init__(self, directory: Path, connections: Path) -> None:
        directory.mkdir()
        self.path = str(directory)
        self._connections = connections
        self._server = subprocess.Popen(
            [sys.executable, "-m", "faults.stuck_server", directory], env=os.environ | {"PYTHONPATH": str(TESTS)}
        )
        await_true(lambda: os.path.ismount(directory))
        self._device = os.minor(directory.stat().st_dev)

    def hang(self) -> None:
        """Stop the server: every access to the directory now waits."""
        self._server.send_signal(signal.SIGSTOP)
        # Without this wait the server takes one more request, and a process that waits for it cannot be
        # killed.
        os.waitid(os.P_PID, self._server.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Let the server answer again."""
        self._server.send_signal(signal.SIGCONT)

    def waiting(self) -> int:
        """Return the number of requests that wait for the server."""
        return int((self._connections / str(self._device) / "waiting").read_text())

    def close(self) -> None:
        """End the server, and unmount its file system."""
        self._server.kill()
        self._server.wait()
        run("umount", "--lazy", self.path)


class Call(threading.Thread):
    """A call in a separate thread."""

    def __init__(self, call: Callable[[Served, str], str], served: Served, name: str) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._served = served
        self._name = name
        self._error = "no answer"
        self.start()

    def run(self) -> None:
        """Make the call; a daemon that is killed does not answer."""
        with contextlib.suppress(OSError, IndexError):
            self._error = self._call(self._served, self._name)

    def error(self) -> str:
        """Wait for the answer and return its error message."""
        self.join(PATIENCE_S)
        return self._error


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """Yield a share that works at first."""
    with mounted(tmp_path / "connections", "-t", "fusectl", "none") as connections:
        made = Share(tmp_path / "share", connections)
        yield made
        made.close()


def check_that_others_work(served: Served) -> None:
    """Test each verb on separate volumes; all must answer while the share hangs."""
    for verb in VERBS:
        verb.prepare(served, verb.name)
        assert verb.act(served, verb.name) == ""
        assert facts(served, verb.name) == verb.after
    compare_with_disk(served)


def test_a_mount_that_hangs_delays_no_other_volume(served: Served, share: Share) -> None:
    """While a Mount hangs, all verbs of other volumes and its own volume's Get answer (promises 1, 4)."""
    assert create(served, "stuck", path=share.path) == ""
    share.hang()
    call = Call(mount, served, "stuck")
    await_true(lambda: share.waiting() > 0)

    assert served.ok("VolumeDriver.Get", {"Name": "stuck"})["Volume"]["Mountpoint"] == share.path
    assert [volume["Name"] for volume in served.ok("VolumeDriver.List", {})["Volumes"]] == ["stuck"]
    assert served.ok("VolumeDriver.Path", {"Name": "stuck"})["Mountpoint"] == share.path
    check_that_others_work(served)

    assert call.is_alive()
    share.resume()
    assert call.error() == ""
    assert unmount(served, "stuck") == ""
    assert remove(served, "stuck") == ""


def test_mounts_that_hang_leave_threads_for_others(served: Served, share: Share) -> None:
    """If more Mounts of a volume hang than there are threads, other volumes still answer (promise 4)."""
    assert create(served, "stuck", path=share.path) == ""
    assert create(served, "v") == ""
    share.hang()
    calls = [Call(mount, served, "stuck") for _ in range(THREADS + 20)]
    await_true(lambda: share.waiting() > 0)
    # A request's deadline is shorter than a lock's.
    assert facts(served, "v") == LIVE
    share.resume()
    assert [call.error() for call in calls].count("") > 1


def test_volumes_that_hang_leave_threads_for_others(served: Served, share: Share, tmp_path: Path) -> None:
    """If more volumes hang on a storage than there are threads, all others answer and mount (promise 4)."""
    (tmp_path / "works").mkdir()
    for number in range(THREADS + 2):
        assert create(served, f"v{number}", path=f"{share.path}/{number}") == ""
    assert create(served, "works", path=str(tmp_path / "works")) == ""
    share.hang()
    calls = [Call(mount, served, f"v{number}") for number in range(THREADS + 2)]
    await_true(lambda: sum(call.is_alive() for call in calls) == MOST // 2)
    assert [volume["Name"] for volume in served.ok("VolumeDriver.List", {})["Volumes"]][-1] == "works"
    assert mount(served, "works") == ""
    refused = [call.error() for call in calls if not call.is_alive()]
    assert all(
        f"the storage at {share.path} does not answer, and many requests wait for it" in error for error in refused
    )
    share.resume()
    assert [call.error() for call in calls].count("") == MOST // 2
    assert mount(served, "v0") == ""


def test_a_mount_whose_engine_gave_up_leaves_no_claim(served: Served, share: Share) -> None:
    """A Mount whose engine gave up leaves no claim, because the engine will send no Unmount (promise 8)."""
    assert create(served, "stuck", path=share.path) == ""
    share.hang()
    body = b'{"Name": "stuck", "ID": "given up"}'
    with socket.socket(socket.AF_UNIX) as engine:
        engine.connect(str(served.socket))
        engine.sendall(b"POST /VolumeDriver.Mount HTTP/1.1\r\nHost: \r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await_true(lambda: share.waiting() > 0)
    share.resume()
    assert mount(served, "stuck") == ""  # waits for the other Mount
    with served.client() as client:
        assert "given up" not in [claim.mount_id for claim in client.claims().claims]
    assert "its engine had given up" in served.log.read_text()


def test_an_adoption_that_hangs_delays_no_other(served: Served, share: Share, tmp_path: Path) -> None:
    """While a Create hangs on the storage that it adopts, others adopt and create (promise 4)."""
    (tmp_path / "works").mkdir()
    share.hang()
    call = Call(lambda served, name: create(served, name, path=share.path), served, "stuck")
    await_true(lambda: share.waiting() > 0)
    check_that_others_work(served)
    assert create(served, "adopted", path=str(tmp_path / "works")) == ""
    assert call.is_alive()
    share.resume()
    assert call.error() == ""


def test_a_start_does_not_wait_for_volumes_storage(served: Served, share: Share) -> None:
    """After a kill during a hanging Mount, pyvol starts at once and lists all volumes (promise 1)."""
    assert create(served, "stuck", path=share.path) == ""
    assert create(served, "v") == ""
    share.hang()
    call = Call(mount, served, "stuck")
    await_true(lambda: share.waiting() > 0)
    served.kill()
    assert call.error() == "no answer"
    served.start()
    assert [volume["Name"] for volume in served.ok("VolumeDriver.List", {})["Volumes"]] == ["stuck", "v"]
    assert facts(served, "v") == LIVE
    share.resume()
    assert mount(served, "stuck") == ""
