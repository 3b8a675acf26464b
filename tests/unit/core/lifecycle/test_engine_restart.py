"""How pyvol detects that an engine has restarted: by the start time of the process that calls it."""

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from house import House
from pyvol.core.lifecycle.engine_restart import EngineRestartDetector
from pyvol.host.mounts.table import KernelMounts
from pyvol.host.processes.socket_peer import is_there, peer_started, started

MINUTE = timedelta(minutes=1)


def test_a_later_engine_makes_earlier_claims_stale(house: House) -> None:
    """Its first call makes earlier claims stale; later calls, and calls of unknown processes, do not."""
    house.volumes.create("v", None)
    house.volumes.mount("v", "a")
    detector = EngineRestartDetector(house.catalog, house.volumes.activate)
    claimed = house.clock()
    detector.observe(None)
    detector.observe(claimed - MINUTE)
    assert [stale for _, stale in house.volume_status.claims()] == [False]
    detector.observe(claimed + MINUTE)
    assert [stale for _, stale in house.volume_status.claims()] == [True]
    generation = house.catalog.generation
    detector.observe(claimed + MINUTE + timedelta(milliseconds=20))
    assert house.catalog.generation == generation


def test_a_restart_of_pyvol_makes_no_claim_stale(house: House) -> None:
    """The claims of a running engine stay current after a restart of pyvol."""
    engine = house.clock() - MINUTE
    house.volumes.create("v", None)
    house.volumes.mount("v", "a")
    EngineRestartDetector(house.catalog, house.volumes.activate).observe(engine)
    assert [stale for _, stale in house.volume_status.claims()] == [False]


def test_the_kernel_knows_who_connected_and_since_when() -> None:
    """The start of a process as its peer sees it; a process that has ended has none."""
    listener, connection = socket.socketpair()
    with listener, connection:
        own = peer_started(listener)
    assert own is not None
    assert own == pytest.approx(started(os.getpid()), abs=timedelta(seconds=0.1))
    assert own < datetime.now(UTC)
    child = subprocess.Popen(["sleep", "60"])
    try:
        began = started(child.pid)
        assert began is not None
        assert abs(datetime.now(UTC) - began) < MINUTE
        assert began > own - timedelta(seconds=0.1)
    finally:
        child.kill()
        child.wait()
    assert started(child.pid) is None


def test_a_process_namespace_of_our_own_hides_the_host() -> None:
    """Process 1 is then pyvol itself, and nobody else's mounts can be seen."""
    assert KernelMounts().sees_host()
    code = "from pyvol.host.mounts.table import KernelMounts; print(KernelMounts().sees_host())"
    asked = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    assert subprocess.run(asked, check=True, capture_output=True, text=True).stdout == "False\n"


def test_a_caller_that_sends_no_more_still_waits() -> None:
    """`nc -N` closes one half and reads on; who has closed both is gone."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert is_there(ours)
        theirs.sendall(b"more")
        theirs.shutdown(socket.SHUT_WR)
        assert is_there(ours)
        theirs.close()
        assert not is_there(ours)
