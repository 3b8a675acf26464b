"""Anything at all on the wire: never an exception, never a path outside the root, always JSON (promise 6)."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from house import House
from pyvol.api.docker import HANG_UP
from pyvol.core.model import options
from pyvol.core.model.volume import NAME

pytestmark = pytest.mark.one_python

VERBS = st.sampled_from(["Create", "Get", "Path", "Mount", "Unmount", "Remove", "List", "Capabilities"])
TEXTS = (
    st.text(max_size=300) | st.from_regex(NAME, fullmatch=True) | st.sampled_from(["..", "../../etc/x", "/abs", "."])
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "Name": TEXTS | JSON,
        "ID": st.text(max_size=80) | JSON,
        "Opts": st.none()
        | JSON
        | st.dictionaries(st.sampled_from([*options.BY_KEY, "o", "help"]) | TEXTS, TEXTS, max_size=4),
    },
)
BODIES = st.binary(max_size=200) | JSON.map(json.dumps).map(str.encode) | MESSAGES.map(json.dumps).map(str.encode)
SETTINGS = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Door:
    """A house, and a way to knock at its app."""

    def __init__(self, root: Path) -> None:
        self.house = House(root)
        self.client: FlaskClient = self.house.app().test_client()
        self.outside = self.files(root.parent) - self.files(root)

    def knock(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Send a request; the answer has to be JSON of one of the two shapes."""
        dropped: list[bool] = []
        # The path goes straight into the environment, as from a server: the test client would take //[ for a host.
        raw = {HANG_UP: lambda: dropped.append(True), "PATH_INFO": path}
        reply = self.client.open("/", method=method, data=body, environ_overrides=raw)
        answer = json.loads(reply.data)
        if reply.status_code != 200:
            assert set(answer) == {"Err"}
            assert answer["Err"]
            assert "Traceback" not in answer["Err"]
            assert "pyvol failed" not in answer["Err"], answer
        return reply.status_code, answer

    def files(self, below: Path) -> set[Path]:
        """Everything there is."""
        return set(below.rglob("*"))


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """One house for all examples: they may meet each other's volumes."""
    above = Path(tempfile.mkdtemp(prefix="pyvol-fuzz-", dir="/dev/shm"))
    (above / "host").mkdir()
    (above / "neighbour").write_text("kept")
    made = Door(above / "host")
    yield made
    made.house.close()
    shutil.rmtree(above)


@SETTINGS
@given(verb=VERBS, body=BODIES)
def test_any_body_on_any_verb(door: Door, verb: str, body: bytes) -> None:
    """Whatever arrives is answered in JSON; a success names a directory below the root."""
    status, answer = door.knock("POST", f"/VolumeDriver.{verb}", body)
    if status == 200 and answer.get("Mountpoint"):
        mountpoint = Path(answer["Mountpoint"])
        assert mountpoint.resolve().is_relative_to(door.house.root / "pool/volumes")
    assert door.files(door.house.root.parent) - door.files(door.house.root) == door.outside


@SETTINGS
@given(name=TEXTS, opts=st.none() | st.dictionaries(st.sampled_from(sorted(options.BY_KEY)) | TEXTS, TEXTS, max_size=3))
def test_any_name_and_options(door: Door, name: str, opts: dict[str, str] | None) -> None:
    """A creation that succeeds can be got, mounted, unmounted and removed; one that fails has made nothing."""
    before = door.files(door.house.root / "pool")
    body = json.dumps({"Name": name, "Opts": opts, "ID": "i"}).encode()
    status, _ = door.knock("POST", "/VolumeDriver.Create", body)
    if status != 200:
        assert door.files(door.house.root / "pool") == before
        return
    assert NAME.fullmatch(name)
    for verb in ("Get", "Path", "Mount", "Unmount"):
        assert door.knock("POST", f"/VolumeDriver.{verb}", body)[0] == 200
    status, answer = door.knock("POST", "/VolumeDriver.Remove", body)
    assert status == 200 or "protected" in answer["Err"]


@SETTINGS
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    path=st.sampled_from(
        [
            "/v1/volumes",
            "/v1/volumes/a",
            "/v1/volumes/a/set",
            "/v1/claims",
            "/v1/trash",
            "/v1/trash/empty",
            "/v1/undelete",
        ]
    )
    | st.text(st.characters(codec="ascii", exclude_characters="?#"), max_size=30).map(lambda text: f"/{text}"),
    body=BODIES,
)
def test_any_request_to_the_control_api(door: Door, method: str, path: str, body: bytes) -> None:
    """The control API is as strict, and says its noes with the statuses of the table."""
    door.knock(method, path, body)
