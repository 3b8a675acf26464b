"""Replay the requests of real engines without an engine; tests/engine/transcripts.py documents the format."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from served import Served, parse

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

PLACEHOLDERS: dict[str, Callable[[Any], bool]] = {
    "<time>": lambda answered: TIME.fullmatch(answered) is not None,
    "<status>": lambda answered: all(isinstance(value, str) for value in answered.values()),
    "<error>": lambda answered: len(answered) > 0 and "<" not in answered,
}


def sets_owners(transcript: dict[str, Any]) -> bool:
    """Return whether a transcript sets owners of volumes, which only root can do."""
    bodies = [json.loads(step["request"]["body"] or "{}") for step in transcript["steps"] if "request" in step]
    options = " ".join(f"{key}={text}" for body in bodies for key, text in (body.get("Opts") or {}).items())
    return re.search(r"\b[ug]id=", options, re.IGNORECASE) is not None


def find_transcripts() -> list[Any]:
    """Return the transcripts that can be replayed by this user."""
    read = {file.stem: json.loads(file.read_text()) for file in sorted(TRANSCRIPTS.glob("*.json"))}
    return [
        pytest.param(transcript, id=name)
        for name, transcript in read.items()
        if os.geteuid() == 0 or not sets_owners(transcript)
    ]


def write_request(request: dict[str, Any]) -> bytes:
    """Return the request as the engine sent it: its headers, in its order, the empty ones too (fact 3)."""
    head = [f"{request['method']} {request['path']} HTTP/1.1"]
    body: str = request["body"]
    return "\r\n".join([*head, *request["headers"], "", ""]).encode("latin-1") + body.encode()


def is_alike(recorded: Any, answered: Any, root: Path) -> bool:
    """Return whether an answer equals the recorded one, or matches its placeholders."""
    if isinstance(recorded, dict) and isinstance(answered, dict):
        return recorded.keys() == answered.keys() and all(
            is_alike(recorded[key], answered[key], root) for key in recorded
        )
    if isinstance(recorded, list) and isinstance(answered, list):
        return len(recorded) == len(answered) and all(
            is_alike(one, other, root) for one, other in zip(recorded, answered, strict=True)
        )
    if isinstance(recorded, str):
        expected = recorded.replace("<pool>", str(root))
        return PLACEHOLDERS.get(recorded, expected.__eq__)(answered)
    return bool(recorded == answered)


def test_there_are_transcripts_of_each_engine() -> None:
    """There are transcripts of Docker 20.10 and 26 and of Podman."""
    engines = {file.name.partition("-")[0] for file in TRANSCRIPTS.glob("*.json")}
    assert engines >= {"20.10", "26", "podman"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield one daemon for all transcripts, because its start would take longer than a transcript."""
    started = Served(tmp_path_factory.mktemp("replayed"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def emptied(daemon: Served) -> Served:
    """Return the daemon without volumes, as at the start of each recording."""
    for volume in daemon.ok("VolumeDriver.List", {})["Volumes"]:
        daemon.ok("VolumeDriver.Remove", {"Name": volume["Name"]})
    return daemon


@pytest.mark.parametrize("transcript", find_transcripts())
def test_replayed_requests_get_the_recorded_replies(emptied: Served, transcript: dict[str, Any]) -> None:
    """Each recorded request, sent verbatim, gets the recorded status and reply."""
    for number, step in enumerate(transcript["steps"]):
        if "event" in step:
            assert step["event"] == "killed"
            emptied.kill()
            emptied.start()
            continue
        raw = emptied.send(write_request(step["request"]))
        where = f"step {number}, {step['request']['path']} {step['request']['body']}"
        if step["reply"] is None:
            assert raw == b"", where
            continue
        reply = parse(raw)
        assert reply.status == step["reply"]["status"], f"{where}: {reply.body!r}"
        assert is_alike(step["reply"]["body"], reply.json, emptied.root), f"{where}: {reply.body!r}"
        assert reply.headers["connection"] == "close", where
