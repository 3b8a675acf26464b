"""Arbitrary requests: never an exception, never a path outside the root, always JSON (promise 6)."""

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
from pyvol.api.codec import HANG_UP
from pyvol.api.error_codes import TABLE
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


class FuzzedApi:
    """The core of pyvol, and a client of its app."""

    def __init__(self, root: Path) -> None:
        self.house = House(root)
        self.client: FlaskClient = self.house.app().test_client()
        self.outside = self.files(root.parent) - self.files(root)

    def send(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Send a request and return its answer, which must be JSON of one of the two forms."""
        dropped: list[bool] = []
        # The path is set in the environment, as a server does: the test client would parse //[ as a host.
        raw = {HANG_UP: lambda: dropped.append(True), "PATH_INFO": path}
        reply = self.client.open("/", method=method, data=body, environ_overrides=raw)
        answer = json.loads(reply.data)
        if reply.status_code not in {200, 202}:
            assert "Err" in answer
            assert (answer.get("code") in TABLE) == path.startswith("/v1/")
            assert answer.keys() <= {"Err", "code", "hint", "volume"}
            assert answer["Err"]
            assert "Traceback" not in answer["Err"]
            assert "pyvol failed" not in answer["Err"], answer
        return reply.status_code, answer

    def files(self, below: Path) -> set[Path]:
        """Return all paths below a directory."""
        return set(below.rglob("*"))


@pytest.fixture(scope="module")
def api() -> Iterator[FuzzedApi]:
    """Yield one core for all examples, which may meet each other's volumes."""
    above = Path(tempfile.mkdtemp(prefix="pyvol-fuzz-", dir="/dev/shm"))
    (above / "host").mkdir()
    (above / "neighbour").write_text("kept")
    made = FuzzedApi(above / "host")
    yield made
    made.house.close()
    shutil.rmtree(above)


@SETTINGS
@given(verb=VERBS, body=BODIES)
def test_any_body_on_any_verb(api: FuzzedApi, verb: str, body: bytes) -> None:
    """Every body gets a JSON answer; a success returns a directory below the root."""
    status, answer = api.send("POST", f"/VolumeDriver.{verb}", body)
    if status == 200 and answer.get("Mountpoint"):
        mountpoint = Path(answer["Mountpoint"])
        assert mountpoint.resolve().is_relative_to(api.house.root / "pool/volumes")
    assert api.files(api.house.root.parent) - api.files(api.house.root) == api.outside


@SETTINGS
@given(name=TEXTS, opts=st.none() | st.dictionaries(st.sampled_from(sorted(options.BY_KEY)) | TEXTS, TEXTS, max_size=3))
def test_any_name_and_options(api: FuzzedApi, name: str, opts: dict[str, str] | None) -> None:
    """After a successful Create the other verbs work; a Create that fails leaves no file."""
    before = api.files(api.house.root / "pool")
    body = json.dumps({"Name": name, "Opts": opts, "ID": "i"}).encode()
    status, _ = api.send("POST", "/VolumeDriver.Create", body)
    if status != 200:
        assert api.files(api.house.root / "pool") == before
        return
    assert NAME.fullmatch(name)
    for verb in ("Get", "Path", "Mount", "Unmount"):
        assert api.send("POST", f"/VolumeDriver.{verb}", body)[0] == 200
    status, answer = api.send("POST", "/VolumeDriver.Remove", body)
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
            "/v1/usage",
            "/v1/adopt",
            "/v1/adopt/plan",
            "/v1/jobs",
            "/v1/jobs/a",
            "/v1/jobs/a/cancel",
            "/v1/undelete",
        ]
    )
    | st.text(st.characters(codec="ascii", exclude_characters="?#"), max_size=30).map(lambda text: f"/{text}"),
    body=BODIES,
)
def test_any_request_to_the_control_api(api: FuzzedApi, method: str, path: str, body: bytes) -> None:
    """Every request to the control API gets a JSON answer, and never an internal error."""
    api.send(method, path, body)
