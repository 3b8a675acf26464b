"""The process at the other end of a Unix socket."""

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pyvol.host.processes import socket_peer


def test_the_other_end_of_a_connection_is_a_process() -> None:
    """Its pid, when it started, and whether it is still there."""
    ours, theirs = socket.socketpair()
    with ours:
        assert socket_peer.peer_pid(ours) == os.getpid()
        begun = socket_peer.peer_started(ours)
        assert begun is not None
        assert timedelta(0) < datetime.now(UTC) - begun < timedelta(days=1)
        theirs.shutdown(socket.SHUT_WR)
        assert socket_peer.is_there(ours)  # it sends no more, and still reads
        theirs.close()
        assert not socket_peer.is_there(ours)


@pytest.mark.parametrize("pid", [0, 1 << 30])
def test_a_process_that_cannot_be_seen_has_no_start(pid: int) -> None:
    """0 is a process of another PID namespace."""
    assert socket_peer.started(pid) is None


def test_the_name_of_a_command_changes_nothing(tmp_path: Path) -> None:
    """It may contain spaces and brackets."""
    (tmp_path / "7").mkdir()
    stat = Path("/proc/self/stat").read_text()
    (tmp_path / "7/stat").write_text("7 (a) S (b) 1) " + stat.rpartition(") ")[2])
    theirs, ours = socket_peer.started(7, str(tmp_path)), socket_peer.started(os.getpid())
    assert theirs is not None
    assert ours is not None
    assert abs(theirs - ours) < timedelta(seconds=1)
