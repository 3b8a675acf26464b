"""The routes for monitoring: metrics, health, and how the app reports each kind of error."""

from datetime import datetime
from pathlib import Path

import pytest
from flask import Flask

from fakes import FakePool
from house import House
from pyvol.api import docker, metrics
from pyvol.api.request_stats import RequestStats
from pyvol.core.errors import OptionHelp, StorageFailed
from pyvol.core.status.metrics import VolumeMetrics
from pyvol.core.status.usage import Usage
from pyvol.daemon.app import create_app


def watched(house: House, problems: list[str]) -> Flask:
    """An app with the routes of those who watch, and some that fail."""
    volume_metrics = VolumeMetrics(
        catalog=house.catalog, pools=house.pools, degraded=lambda: 0, servers=dict, usage=house.volume_status.usage
    )
    volume_metrics.sample()
    app = create_app(
        house.log, metrics.blueprint(RequestStats(), volume_metrics, lambda: problems[-1] if problems else None)
    )

    def fail(kind: str) -> str:
        raise {"storage": StorageFailed("no disk"), "help": OptionHelp("the options are"), "bug": ValueError("oh")}[
            kind
        ]

    app.add_url_rule("/fail/<kind>", view_func=fail)
    return app


def test_metrics_are_made_at_the_first_scrape_and_read_at_each(house: House) -> None:
    """A scrape shows what was created since the last scrape."""
    client = watched(house, []).test_client()
    assert 'pyvol_volumes{pool="default"} 0.0' in client.get("/metrics").text
    house.volumes.create("v", None)
    assert 'pyvol_volumes{pool="default"} 1.0' in client.get("/metrics").text


def test_health_is_that_of_the_catalog(house: House) -> None:
    """A catalog that can't be written is an error, in a sentence."""
    problems: list[str] = []
    client = watched(house, problems).test_client()
    assert client.get("/healthz").status_code == 200
    problems.append("the catalog is full")
    assert client.get("/healthz").json == {"Err": "the catalog is full"}


@pytest.mark.parametrize(
    ("kind", "event", "summary"),
    [
        ("storage", "request failed", "no disk"),
        ("help", None, "the options are"),
        ("bug", "request failed", "pyvol failed (ValueError): its log has the details"),
    ],
)
def test_each_error_is_reported_and_failures_are_logged(
    house: House, kind: str, event: str | None, summary: str
) -> None:
    """A refused request is not logged as a failure; an unexpected error's message reaches the caller too."""
    client = watched(house, []).test_client()
    house.log.lines.clear()
    assert summary in client.get(f"/fail/{kind}").json["Err"]  # type: ignore[index]  # it has one, or this fails
    assert house.log.events == ([event] if event else [])


def test_a_pool_whose_room_is_unknown_keeps_what_was_last_seen(scratch: Path) -> None:
    """A graph with an old number and a mark beside it says more than a gap."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool})
    house.volumes.create("v", None)
    counted = Usage(5, 1, house.clock())
    volume_metrics = VolumeMetrics(
        catalog=house.catalog, pools=house.pools, degraded=lambda: 0, servers=dict, usage=lambda _: counted
    )
    volume_metrics.sample()
    answers, seen = volume_metrics.read().room["default"]
    assert answers
    assert volume_metrics.read().bytes == {"default": 5}
    pool.failing["space"] = "pool 'default': gone"
    volume_metrics.sample()
    assert volume_metrics.read().room["default"] == (False, seen)
    house.close()


def test_the_callers_start_time_is_observed_before_each_verb(house: House) -> None:
    """A managed plugin knows its engine's life by the process that calls."""
    started: list[datetime | None] = []
    app = create_app(house.log, docker.blueprint(house.volumes, house.volume_status, "local", started.append))
    now = house.clock()
    app.test_client().post("/VolumeDriver.Capabilities", environ_overrides={docker.CALLER_STARTED: lambda: now})
    assert started == [now]
