"""`pyvol events` against a daemon that serves: what it prints, and that followers harm nobody."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pyvol.client.pyvol_api import Client
from pyvol.core.status.events import LONGEST_WAIT_S
from served import PATIENCE_S, Served

FOLLOW = b"GET /v1/events?after=%d&wait=20 HTTP/1.1\r\nHost: p\r\n\r\n"


@contextmanager
def following(daemon: Served, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the command until the body ends."""
    command = [sys.executable, "-m", "pyvol", "events", "--json", *words]
    with subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE, text=True) as follower:
        try:
            yield follower
        finally:
            follower.terminate()


def read(follower: "subprocess.Popen[str]") -> dict[str, Any]:
    """The next event that it prints."""
    assert follower.stdout is not None
    event: dict[str, Any] = json.loads(follower.stdout.readline())
    return event


def live(daemon: Served) -> None:
    """A volume's life, with a refusal in it."""
    daemon.ok("VolumeDriver.Create", {"Name": "v"})
    daemon.ok("VolumeDriver.Mount", {"Name": "v", "ID": "i"})
    daemon.ok("VolumeDriver.Unmount", {"Name": "v", "ID": "i"})
    daemon.ok("VolumeDriver.Remove", {"Name": "v"})
    daemon.call("VolumeDriver.Get", {"Name": "v"})
    daemon.call("VolumeDriver.Mount", {"Name": "v", "ID": "i"})
    with daemon.client() as client:
        client.undelete("v")


KINDS = ["created", "mounted", "unmounted", "removed", "failed", "undeleted"]


def test_events_are_followed_as_they_happen(served: Served) -> None:
    """Each as an object with its volume and its facts; a question after an unknown volume is none."""
    with following(served, "--past") as follower:
        live(served)
        events = [read(follower) for _ in KINDS]
    assert [event["event"] for event in events] == KINDS
    assert {event["volume"] for event in events} == {"v"}
    assert events[1]["facts"] == {"mount_id": "i", "count": "1"}
    assert "volume 'v' does not exist" in events[4]["facts"]["error"]
    shown = served.cli("events", "--no-follow").stdout.splitlines()
    assert [line.split()[1:3] for line in shown] == [[kind, "v"] for kind in KINDS]


def test_a_follower_outlives_a_restart(served: Served) -> None:
    """It goes on with the daemon's next life, from its beginning."""
    with following(served, "--past") as follower:
        served.ok("VolumeDriver.Create", {"Name": "before"})
        assert read(follower)["volume"] == "before"
        served.kill()
        served.start()
        served.ok("VolumeDriver.Create", {"Name": "after"})
        assert read(follower)["volume"] == "after"


def test_followers_take_no_thread_from_an_engine(served: Served) -> None:
    """With twice as many of them as there are threads an engine is answered, and so is each of them."""
    served.ok("VolumeDriver.Create", {"Name": "v"})
    with ExitStack() as stack:
        connections = []
        for _ in range(256):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(PATIENCE_S)
            connection.connect(str(served.socket))
            connection.sendall(FOLLOW % 1)
            connections.append(connection)
        served.ok("VolumeDriver.Get", {"Name": "v"})
        served.ok("VolumeDriver.Mount", {"Name": "v", "ID": "i"})
        assert all(connection.recv(100).startswith(b"HTTP/1.1 200") for connection in connections)


def test_a_stop_waits_for_no_follower(served: Served) -> None:
    """Who waits for events is answered when the daemon is told to end."""
    with ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(served.socket))
            connection.sendall(FOLLOW % 0)  # nothing has happened yet, so it waits
        with Client(served.socket) as client:
            client.volumes()
        assert served.process is not None
        served.process.terminate()
        assert served.process.wait(LONGEST_WAIT_S / 2) == 0
    assert served.log.read_text().count("Traceback") == 0


def test_nonsense_is_refused(served: Served) -> None:
    """A number that is none is the caller's mistake."""
    raw = served.send(b"GET /v1/events?after=soon HTTP/1.1\r\nHost: p\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 400")
