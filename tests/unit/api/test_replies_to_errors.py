"""The replies to requests that fail: fields for programs under `/v1/`, one sentence for engines."""

import pytest
from flask import Flask

from fakes import FakeClock, FakeLog
from house import House
from pyvol.api.v1 import events
from pyvol.core.model.event_kind import EventKind
from pyvol.core.status.events import EventLog, Events
from pyvol.daemon.app import create_app


@pytest.fixture
def app(house: House) -> Flask:
    """The app over a house that has one protected volume."""
    house.volumes.create("data", {"protect": "true"})
    return house.app()


def test_the_control_api_answers_with_the_fields_of_the_error(app: Flask) -> None:
    """The code, the hint and the volume are for programs; the sentence contains the hint too."""
    reply = app.test_client().post("/v1/volumes/data/trash")
    assert reply.status_code == 409
    assert reply.json == {
        "Err": "volume 'data' cannot be removed: it has protect=true; `pyvol set data protect=false` allows it",
        "code": "volume_protected",
        "hint": "`pyvol set data protect=false` allows it",
        "volume": "data",
    }


def test_an_engine_gets_only_the_sentence(app: Flask) -> None:
    """Docker and Podman show it; both take no other status than 500 for an error (engine fact 15)."""
    reply = app.test_client().post("/VolumeDriver.Remove", data=b'{"Name": "data"}')
    assert reply.status_code == 500
    assert reply.json == {
        "Err": "volume 'data' cannot be removed: it has protect=true; `pyvol set data protect=false` allows it"
    }


def test_a_refused_request_is_an_event_with_its_code(app: Flask, house: House) -> None:
    """The line in the log is for debugging only: it is the caller's mistake."""
    app.test_client().post("/VolumeDriver.Remove", data=b'{"Name": "data"}')
    level, kind, facts = house.log.lines[-1]
    assert (level, kind) == ("quiet event", EventKind.FAILED)
    assert (facts["volume"], facts["code"], facts["path"]) == ("data", "volume_protected", "/VolumeDriver.Remove")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/volume", 404, "not_found"),
        ("PUT", "/v1/volumes", 405, "bad_request"),
        ("GET", "/v1/volumes/nope", 404, "no_such_volume"),
        ("GET", "/v1/volumes/..", 400, "bad_name"),
        ("POST", "/v1/volumes/data/set", 400, "empty_body"),
        ("POST", "/v1/undelete", 400, "empty_body"),
    ],
)
def test_every_error_of_the_control_api_has_a_code(app: Flask, method: str, path: str, status: int, code: str) -> None:
    """Also the errors that Flask finds before any route runs."""
    reply = app.test_client().open(path, method=method)
    assert (reply.status_code, reply.get_json()["code"]) == (status, code)


def test_a_lost_lock_arrives_as_its_own_kind(house: House) -> None:
    """A program can react to it without reading the sentence."""
    kept = Events(FakeClock(), "one")
    EventLog(FakeLog(), kept).event(EventKind.LOCK_LOST, "v", error="another host may have had the volume since")
    app = create_app(house.log, events.blueprint(kept))
    (event,) = app.test_client().get("/v1/events").get_json()["events"]
    assert (event["event"], event["volume"]) == ("lock_lost", "v")
