"""`pyvol events` with a running daemon: its output, and that followers do not disturb others."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pyvol.client.pyvol_api import Client
from pyvol.core.status.events import LONGEST_WAIT_S
from served import PATIENCE_S, Served

FOLLOW = b"GET /v1/events?after=%d&wait=20 HTTP/1.1\r\nHost: p\r\n\r\n"


@contextmanager
def following(daemon: Served, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the command until the block ends."""
    command = [sys.executable, "-m", "pyvol", "events", "--json", *words]
    with subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE, text=True) as follower:
        try:
            yield follower
        finally:
            follower.terminate()


def read(follower: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return the next event that the command prints."""
    assert follower.stdout is not None
    event: dict[str, Any] = json.loads(follower.stdout.readline())
    return event


def live(daemon: Served) -> None:
    """Use a volume from creation to removal, with one refused request."""
    daemon.ok("VolumeDriver.Create", {"Name": "v"})
    daemon.ok("VolumeDriver.Mount", {"Name": "v", "ID": "i"})
    daemon.ok("VolumeDriver.Unmount", {"Name": "v", "ID": "i"})
    daemon.ok("VolumeDriver.Remove", {"Name": "v"})
    daemon.call("VolumeDriver.Get", {"Name": "v"})
    daemon.call("VolumeDriver.Mount", {"Name": "v", "ID": "i"})
    with daemon.client() as client:
        client.undelete("v")


KINDS = ["created", "mounted", "unmounted", "removed", "failed", "undeleted"]


def test_each_kind_arrives_through_the_api_and_the_command(served: Served, tmp_path: Path) -> None:
    """A volume that goes through all that can happen on one host, with the facts of each event."""
    directory = tmp_path / "notes"
    directory.mkdir()
    with served.client() as client:
        served.ok("VolumeDriver.Create", {"Name": "v", "Opts": {"mode": "0750"}})
        client.set("v", {"mode": "0700"})
        client.rename("v", "w")
        served.ok("VolumeDriver.Mount", {"Name": "w", "ID": "i"})
        served.ok("VolumeDriver.Unmount", {"Name": "w", "ID": "i"})
        served.ok("VolumeDriver.Remove", {"Name": "w"})
        client.undelete("w")
        client.set("w", {"protect": "true"})
        served.call("VolumeDriver.Remove", {"Name": "w"})
        client.set("w", {"protect": "false"})
        served.ok("VolumeDriver.Remove", {"Name": "w"})
        client.wait(client.empty_trash(["w"]))
        adopted = served.cli("adopt", "--engine", "/nope", "--path", str(directory), "--name", "notes", "--force")
        assert adopted.returncode == 0, adopted.stderr
        events = client.events(0).events
    expected = [
        *(("created", "v"), ("changed", "v"), ("renamed", "w"), ("mounted", "w"), ("unmounted", "w")),
        *(("removed", "w"), ("undeleted", "w"), ("changed", "w"), ("failed", "w"), ("changed", "w")),
        *(("removed", "w"), ("deleted", "w"), ("created", "notes"), ("adopted", "notes")),
    ]
    assert [(event.event, event.volume) for event in events] == expected
    facts = {event.event: event.facts for event in reversed(events)}
    assert facts["created"] == {"pool": "default", "options": "mode=0750"}
    assert facts["renamed"] == {"renamed_from": "v"}
    assert (facts["failed"]["path"], facts["failed"]["code"]) == ("/VolumeDriver.Remove", "volume_protected")
    shown = served.cli("events", "--no-follow").stdout.splitlines()
    assert [tuple(line.split()[1:3]) for line in shown] == expected


def test_events_are_followed_as_they_happen(served: Served) -> None:
    """Each event is printed as an object with volume and facts; a Get of an unknown volume makes no event."""
    with following(served, "--past") as follower:
        live(served)
        events = [read(follower) for _ in KINDS]
    assert [event["event"] for event in events] == KINDS
    assert {event["volume"] for event in events} == {"v"}
    assert events[1]["facts"] == {"mount_id": "i", "count": "1"}
    assert events[4]["facts"]["code"] == "no_such_volume"
    assert "volume 'v' does not exist" in events[4]["facts"]["error"]
    shown = served.cli("events", "--no-follow").stdout.splitlines()
    assert [line.split()[1:3] for line in shown] == [[kind, "v"] for kind in KINDS]


def test_a_follower_outlives_a_restart(served: Served) -> None:
    """After a restart of the daemon the command continues with the new daemon's first event."""
    with following(served, "--past") as follower:
        served.ok("VolumeDriver.Create", {"Name": "before"})
        assert read(follower)["volume"] == "before"
        served.kill()
        served.start()
        served.ok("VolumeDriver.Create", {"Name": "after"})
        assert read(follower)["volume"] == "after"


def test_followers_take_no_thread_from_an_engine(served: Served) -> None:
    """With twice as many followers as threads, an engine and all followers are answered."""
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
    """A stop of the daemon answers all waiting followers."""
    with ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(served.socket))
            connection.sendall(FOLLOW % 0)  # no event has happened yet, so the request waits
        with Client(served.socket) as client:
            client.volumes()
        assert served.process is not None
        served.process.terminate()
        assert served.process.wait(LONGEST_WAIT_S / 2) == 0
    assert served.log.read_text().count("Traceback") == 0


def test_an_invalid_number_is_refused(served: Served) -> None:
    """A number that is invalid is refused."""
    raw = served.send(b"GET /v1/events?after=soon HTTP/1.1\r\nHost: p\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 400")
