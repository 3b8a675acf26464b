"""Each engine fact about the protocol, tested with a running daemon.

The numbers are the numbers in the list of engine facts. tests/unit tests the facts about claims, options and
pools, and tests/engine the facts about whole engines.
"""

import json
import socket
import stat
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from served import ACCEPT, PATIENCE_S, Reply, Served, parse

NAMED = ["Create", "Get", "Path", "Mount", "Unmount", "Remove"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield one daemon for the module; each test uses different volume names."""
    served = Served(tmp_path_factory.mktemp("facts"))
    served.start()
    yield served
    assert served.stop() == 0


def err(reply: Reply) -> str:
    """Return the error message of a reply in the form that both engines accept (fact 15)."""
    assert reply.status == 500, reply
    assert set(reply.json) == {"Err"}
    sentence: str = reply.json["Err"]
    assert sentence
    assert "Traceback" not in sentence
    assert "<" not in sentence
    return sentence


def test_fact_1_get_of_a_known_volume_never_fails(daemon: Served) -> None:
    """Get of a volume without its directory succeeds, because an error would cost the volume its labels."""
    daemon.ok("VolumeDriver.Create", {"Name": "f1"})
    moved = daemon.root / "volumes/f1"
    moved.rename(daemon.root / "elsewhere")
    assert "No such file" in err(daemon.call("VolumeDriver.Mount", {"Name": "f1", "ID": "i"}))
    volume = daemon.ok("VolumeDriver.Get", {"Name": "f1"})["Volume"]
    assert volume["Name"] == "f1"
    assert "No such file" in volume["Status"]["health"]


def test_fact_2_created_at_has_a_zone(daemon: Served) -> None:
    """CreatedAt is RFC 3339 with a zone; a time without a zone breaks the engine's decoding of Get."""
    daemon.ok("VolumeDriver.Create", {"Name": "f2"})
    created = daemon.ok("VolumeDriver.Get", {"Name": "f2"})["Volume"]["CreatedAt"]
    assert created.endswith("Z")
    assert "T" in created
    assert datetime.fromisoformat(created).tzinfo is not None


def test_fact_3_no_content_type_and_an_empty_host(daemon: Served) -> None:
    """Requests work without content type and host, as dockerd sends them, and with both, as Podman does."""
    assert daemon.ok("VolumeDriver.Create", {"Name": "f3"}) == {"Err": ""}
    reply = daemon.post("VolumeDriver.Get", b'{"Name":"f3"}', "Content-Type: application/json\r\n")
    assert reply.status == 200
    raw = daemon.send(
        b"POST /VolumeDriver.List HTTP/1.1\r\nHost: plugin.moby.localhost\r\nContent-Length: 3\r\n\r\n{}\n"
    )
    assert raw.startswith(b"HTTP/1.1 200")


def test_fact_4_the_three_shapes_of_an_empty_request(daemon: Served) -> None:
    """Activate works without a body, List and Capabilities with {}, Create with options null."""
    assert daemon.ok("Plugin.Activate") == {"Implements": ["VolumeDriver"]}
    assert daemon.ok("VolumeDriver.Capabilities", {}) == {"Capabilities": {"Scope": "local"}}
    daemon.ok("VolumeDriver.Create", {"Name": "f4", "Opts": None})
    assert {"Name": "f4", "Mountpoint": f"{daemon.root}/volumes/f4/_data"} in daemon.ok("VolumeDriver.List", {})[
        "Volumes"
    ]
    assert daemon.call("VolumeDriver.List").status == 200


@pytest.mark.parametrize("verb", [verb for verb in NAMED if verb != "Get"])
@pytest.mark.parametrize("body", [b"", b" \n"])
def test_fact_5_an_empty_body_is_an_error(daemon: Served, verb: str, body: bytes) -> None:
    """A retry without a body is refused: the engine once bound a lenient answer to such a Mount."""
    assert err(daemon.post(f"VolumeDriver.{verb}", body)).startswith(f"VolumeDriver.{verb}: the request has no body")


@pytest.mark.parametrize("verb", [verb for verb in NAMED if verb != "Get"])
@pytest.mark.parametrize("body", [b"{}", b'{"Name":null}', b'{"Name":""}', b'{"Opts":{}}', b"[]", b"null", b'"x"'])
def test_fact_5_a_nameless_body_is_an_error(daemon: Served, verb: str, body: bytes) -> None:
    """A request without a volume's name is refused."""
    err(daemon.post(f"VolumeDriver.{verb}", body))


@pytest.mark.parametrize("name", ["..", "../../etc/x", "x/y", "a b", "-x", "é", "x" * 300, "/abs", "a\u0000b"])
@pytest.mark.parametrize("verb", NAMED)
def test_fact_6_names_are_checked_on_every_verb(daemon: Served, verb: str, name: str) -> None:
    """Every verb refuses invalid names, because Docker forwards what the user typed."""
    message = {"Name": name, "ID": "i", "Opts": None}
    assert "is not a volume name" in err(daemon.call(f"VolumeDriver.{verb}", message))


def test_fact_12_create_again(daemon: Served) -> None:
    """Create with the same options succeeds; with other options it fails and names the difference."""
    daemon.ok("VolumeDriver.Create", {"Name": "f12", "Opts": {"mode": "0700"}})
    daemon.ok("VolumeDriver.Create", {"Name": "f12", "Opts": {"mode": "700"}})
    sentence = err(daemon.call("VolumeDriver.Create", {"Name": "f12", "Opts": {"mode": "0711"}}))
    assert "volume 'f12' exists with other options: mode is 0700, asked for 0711" in sentence


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("POST", "/VolumeDriver.Nope"),
        ("POST", "/VolumeDriver.Get//x"),
        ("POST", "/VolumeDriver.Get/"),
        ("GET", "/VolumeDriver.List"),
        ("PUT", "/VolumeDriver.List"),
        ("OPTIONS", "/VolumeDriver.List"),
        ("DELETE", "/Plugin.Activate"),
        ("BREW", "/Plugin.Activate"),
        ("POST", "/v1x"),
    ],
)
def test_fact_15_unknown_routes_and_methods_are_json(daemon: Served, method: str, path: str) -> None:
    """Unknown routes and methods get JSON: Podman reads only the status, and users would see HTML."""
    reply = parse(daemon.send(f"{method} {path} HTTP/1.1\r\nHost: \r\nContent-Length: 2\r\n\r\n{{}}".encode()))
    err(reply)


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /VolumeDriver.List HTTP/1.1\r\nHost x\r\n\r\n",
        b"POST /VolumeDriver.List HTTP/9.9\r\nHost: x\r\n\r\n",
    ],
)
def test_fact_15_input_that_is_not_http_is_answered_in_json(daemon: Served, raw: bytes) -> None:
    """Input that is not HTTP gets a JSON error, although Flask never sees it."""
    reply = parse(daemon.send(raw))
    assert reply.status == 500
    assert reply.json["Err"].startswith("pyvol cannot read this as an HTTP request")


def test_fact_15_bodies_over_a_mebibyte_are_refused(daemon: Served) -> None:
    """A body of one MiB is read; a larger one is refused in JSON, and nothing is created."""
    body = json.dumps({"Name": "f15", "Opts": {"x": "y" * (1 << 20)}}).encode()
    assert "exceeds" in err(daemon.post("VolumeDriver.Create", body))
    assert "unknown option" in err(daemon.post("VolumeDriver.Create", body.replace(b"y" * 100, b"")))
    assert "does not exist" in err(daemon.call("VolumeDriver.Get", {"Name": "f15"}))


def test_chunked_bodies_are_read(daemon: Served) -> None:
    """Chunked bodies are read; no engine sends them, but the client of a script may."""
    body = b"c\r\n" + b'{"Name":"ch"' + b"\r\n1\r\n}\r\n0\r\n\r\n"
    raw = daemon.send(b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert raw.startswith(b"HTTP/1.1 200"), raw
    daemon.ok("VolumeDriver.Get", {"Name": "ch"})


@pytest.mark.parametrize("chunk", [b"zz", b"-1", b"0xc"])
def test_invalid_chunks_are_refused(daemon: Served, chunk: bytes) -> None:
    """An invalid chunk gets an error, and the log has no stack trace."""
    head = b"POST /VolumeDriver.Create HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n"
    sentence = err(parse(daemon.send(head + chunk + b'\r\n{"Name":"ch"}\r\n0\r\n\r\n')))
    assert sentence.startswith("VolumeDriver.Create: the request's body cannot be read")
    assert "Traceback" not in daemon.log.read_text()


def test_fact_25_only_root_can_open_the_socket(daemon: Served) -> None:
    """The socket has mode 0600, although gunicorn's default is 0777."""
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600


@pytest.mark.parametrize("verb", ["Plugin.Activate", "VolumeDriver.List", "VolumeDriver.Nope", "VolumeDriver.Mount"])
def test_fact_29_every_reply_closes_its_connection(daemon: Served, verb: str) -> None:
    """Every reply closes its connection: an idle one that pyvol closes costs the next request its body."""
    assert daemon.call(verb, {}).headers["connection"] == "close"


def test_fact_31_list_has_no_nulls_and_no_duplicates(daemon: Served) -> None:
    """List has no null, which crashes dockerd, and no duplicate, which Docker shows twice."""
    for name in ("f31a", "f31b"):
        daemon.ok("VolumeDriver.Create", {"Name": name})
    names = [volume["Name"] for volume in daemon.ok("VolumeDriver.List", {})["Volumes"]]
    assert len(names) == len(set(names))
    assert {"f31a", "f31b"} <= set(names)


def test_fact_36_an_empty_get_drops_the_connection(daemon: Served) -> None:
    """A Get without a body drops the connection, because an error would cost the volume its labels."""
    head = f"POST /VolumeDriver.Get HTTP/1.1\r\nHost: \r\nAccept: {ACCEPT}\r\nContent-Length: 0\r\n\r\n"
    assert daemon.send(head.encode()) == b""


def test_fact_28_three_hundred_gets_at_once(daemon: Served) -> None:
    """300 Gets at the same time are all answered, as dockerd sends one per volume at its start."""
    daemon.ok("VolumeDriver.Create", {"Name": "f28"})
    body = b'{"Name":"f28"}'
    request = f"POST /VolumeDriver.Get HTTP/1.1\r\nHost: \r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    connections = [socket.socket(socket.AF_UNIX) for _ in range(300)]
    try:
        for connection in connections:
            connection.settimeout(PATIENCE_S)
            connection.connect(str(daemon.socket))
        for connection in connections:
            connection.sendall(request)
        for connection in connections:
            assert connection.recv(12) == b"HTTP/1.1 200"
    finally:
        for connection in connections:
            connection.close()


def test_fact_27_scope_is_a_setting(tmp_path: Path) -> None:
    """Capabilities returns the configured scope, which the engine reads once per start, for the driver."""
    served = Served(tmp_path, SCOPE="global")
    served.start()
    assert served.ok("VolumeDriver.Capabilities", {}) == {"Capabilities": {"Scope": "global"}}
    served.stop()


def test_fact_35_requests_that_come_early_wait(tmp_path: Path) -> None:
    """Requests that arrive before the catalog is open wait and are answered without an error."""
    served = Served(tmp_path)
    served.start()
    served.ok("VolumeDriver.Create", {"Name": "v"})
    for _ in range(5):
        served.kill()
        served.socket.unlink()
        served.launch()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < deadline
            try:
                reply = served.call("VolumeDriver.Get", {"Name": "v"})
                break
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.001)
        assert reply.status == 200
    served.stop()


def test_path_and_get_agree(daemon: Served) -> None:
    """Path returns the mountpoint of Get; for an unknown name it returns an error."""
    daemon.ok("VolumeDriver.Create", {"Name": "p"})
    got = daemon.ok("VolumeDriver.Get", {"Name": "p"})["Volume"]
    assert daemon.ok("VolumeDriver.Path", {"Name": "p"})["Mountpoint"] == got["Mountpoint"]
    assert "volume 'nope' does not exist" in err(daemon.call("VolumeDriver.Path", {"Name": "nope"}))


def test_option_help_is_shown(daemon: Served) -> None:
    """Create with `-o help` returns the list of options."""
    assert "on_remove=trash|delete|keep" in err(daemon.call("VolumeDriver.Create", {"Name": "h", "Opts": {"help": ""}}))
