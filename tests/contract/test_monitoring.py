"""`/metrics` and `/healthz` as Prometheus reads them; the dashboard and rules use existing metrics."""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pyvol.api.prometheus_text import Exposition
from pyvol.api.request_stats import FAILED, RequestStats
from pyvol.core.model.volume import Space
from pyvol.core.status.metrics import Reading
from served import PATIENCE_S, Served, parse

DOCS = Path(__file__).resolve().parents[2] / "docs"
GET_METRICS = b"GET /metrics HTTP/1.1\r\nHost: p\r\n\r\n"


def numbers(text: str) -> dict[str, float]:
    """Return the samples of a scrape by name and labels."""
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(daemon: Served) -> dict[str, float]:
    """Return the samples from the daemon's socket."""
    reply = parse(daemon.send(GET_METRICS))
    assert reply.status == 200, reply
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return numbers(reply.body.decode())


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield one daemon for the module."""
    served = Served(tmp_path_factory.mktemp("watched"))
    served.start()
    yield served
    served.stop()


def test_requests_are_counted_by_verb_and_outcome(daemon: Served) -> None:
    """Requests are counted by verb and outcome, with a histogram; an unknown verb makes no label."""
    daemon.ok("VolumeDriver.Create", {"Name": "m-1"})
    before = scrape(daemon)
    daemon.ok("VolumeDriver.Get", {"Name": "m-1"})
    daemon.call("VolumeDriver.Get", {"Name": "nobody"})
    daemon.call("VolumeDriver.Nonsense", {"Name": "m-1"})
    daemon.call("VolumeDriver.Create", {"Name": "m-1", "Opts": {"mode": "0700"}})
    after = scrape(daemon)

    def grown(verb: str, outcome: str, what: str = "count") -> float:
        name = f"pyvol_request_duration_seconds_{what}"
        labels = ("" if what == "count" else " le=+Inf") + f" outcome={outcome} verb={verb}"
        return after[name + labels] - before.get(name + labels, 0)

    assert grown("Get", "ok") == 1
    assert grown("Get", "ok", "bucket") == 1
    assert grown("Get", "refused") == 1
    assert grown("other", "refused") == 1
    assert grown("Create", "refused") == 1
    assert after["pyvol_request_duration_seconds_sum outcome=ok verb=Get"] > 0
    assert not [name for name in after if "Nonsense" in name]


def test_volumes_claims_and_trash_are_counted(daemon: Served) -> None:
    """Volumes, claims, stale claims and volumes in the trash are counted."""
    before = scrape(daemon)
    for name in ("m-2", "m-3"):
        daemon.ok("VolumeDriver.Create", {"Name": name})
    daemon.ok("VolumeDriver.Mount", {"Name": "m-2", "ID": "i"})
    daemon.ok("Plugin.Activate")
    daemon.ok("VolumeDriver.Remove", {"Name": "m-3"})
    after = scrape(daemon)
    grown = {name: after[name] - before[name] for name in after if name in before}
    assert grown["pyvol_volumes pool=default"] == 1
    assert grown["pyvol_claims"] == grown["pyvol_claims_stale"] == 1
    assert grown["pyvol_trash_volumes pool=default"] == 1
    assert after["pyvol_volumes_degraded"] == 0
    assert after["pyvol_catalog_up"] == 1


def test_the_space_of_a_pool_is_its_file_systems(daemon: Served) -> None:
    """Free and total bytes of a pool come from its file system; a scrape does not access the disk."""
    found = scrape(daemon)
    assert found["pyvol_pool_up pool=default"] == 1
    assert 0 < found["pyvol_pool_free_bytes pool=default"] <= found["pyvol_pool_size_bytes pool=default"]


def test_failed_and_refused_requests_are_counted_separately(daemon: Served) -> None:
    """If a volume's directory is gone, a Mount counts as failed and the volume as degraded."""
    daemon.ok("VolumeDriver.Create", {"Name": "m-4"})
    place = daemon.root / "volumes/m-4"
    place.rename(daemon.root / "away")
    assert daemon.call("VolumeDriver.Mount", {"Name": "m-4", "ID": "i"}).status == 500
    found = scrape(daemon)
    assert found["pyvol_request_duration_seconds_count outcome=failed verb=Mount"] == 1
    assert found["pyvol_volumes_degraded"] == 1
    (daemon.root / "away").rename(place)
    daemon.ok("VolumeDriver.Mount", {"Name": "m-4", "ID": "i"})
    assert scrape(daemon)["pyvol_volumes_degraded"] == 0


def test_health(daemon: Served) -> None:
    """A healthy daemon reports status ok."""
    reply = parse(daemon.send(b"GET /healthz HTTP/1.1\r\nHost: p\r\n\r\n"))
    assert (reply.status, reply.json) == (200, {"status": "ok"})


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def ask_port(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Send a request to a port of this host."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request(method, path)
    with connection.getresponse() as reply:
        return reply.status, reply.read().decode()


@pytest.mark.one_python
def test_the_port_serves_only_metrics_and_health(tmp_path: Path) -> None:
    """The port, open to any user of the host, serves metrics and health but no access to volumes."""
    port = free_port()
    daemon = Served(tmp_path, METRICS_PORT=str(port))
    daemon.start()
    try:
        daemon.ok("VolumeDriver.Create", {"Name": "m-5"})
        status, text = ask_port(port, "/metrics")
        assert (status, numbers(text)["pyvol_volumes pool=default"]) == (200, 1)
        assert ask_port(port, "/healthz")[0] == 200
        assert ask_port(port, "/v1/volumes")[0] == 404
        assert ask_port(port, "/VolumeDriver.Remove", "POST")[0] == 500
        # A client that sends nothing delays no engine, and blocks the port only for a short time.
        with socket.create_connection(("127.0.0.1", port)):
            daemon.ok("VolumeDriver.Get", {"Name": "m-5"})
            assert ask_port(port, "/healthz")[0] == 200
    finally:
        assert daemon.stop() == 0


def test_a_taken_port_does_not_stop_the_daemon(tmp_path: Path) -> None:
    """If the metrics port is taken, pyvol logs it and serves engines."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        daemon = Served(tmp_path, METRICS_PORT=str(taken.getsockname()[1]))
        daemon.start()
        daemon.ok("VolumeDriver.Create", {"Name": "m-6"})
        assert daemon.stop() == 0
    assert "no metrics on the port" in daemon.log.read_text()


def exposed() -> set[str]:
    """Return the names that a scrape can have, from a reading with all values."""
    request_stats = RequestStats()
    request_stats.add("Get", FAILED, 0.1)
    reading = Reading(
        volumes={"default": 1},
        degraded=0,
        claims=0,
        stale_claims=0,
        trash={"default": 0},
        bytes={"default": 1},
        trash_bytes={"default": 0},
        room={"default": (True, Space(2, 1))},
        servers={("nas", "2049"): True},
        catalog=True,
    )
    text = Exposition(request_stats, lambda: reading).text().decode()
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def asked_for(page: Path) -> set[str]:
    """Return the names of the metrics in a page's queries."""
    return set(re.findall(r"\b(?:pyvol|process)_[a-z_]+\b", page.read_text()))


@pytest.mark.parametrize("name", ["grafana-dashboard.json", "prometheus-rules.yml"])
def test_the_examples_use_existing_metrics(name: str) -> None:
    """Each metric in the dashboard and in the rules exists."""
    asked = asked_for(DOCS / name)
    assert len(asked) > 3
    assert asked <= exposed()


def test_the_dashboard_shows_every_metric_and_can_be_imported() -> None:
    """The dashboard is valid JSON with a query in each panel, and shows each of pyvol's own metrics."""
    dashboard: dict[str, Any] = json.loads((DOCS / "grafana-dashboard.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    assert len({panel["id"] for panel in panels}) == len(panels)
    own = {name for name in exposed() if name.startswith("pyvol_") and not name.endswith(("_sum", "_created", "_info"))}
    assert own <= asked_for(DOCS / "grafana-dashboard.json")


def test_every_metric_is_in_the_docs() -> None:
    """docs/monitoring.md explains each metric."""
    text = (DOCS / "monitoring.md").read_text()
    for name in exposed():
        family = re.sub(r"_(bucket|count|sum)$", "", name)
        assert name.startswith("process_") or f"`{family}" in text, name
