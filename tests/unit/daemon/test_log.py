"""The log: one line for each event, for people or as JSON; no name and no error can forge a line."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pyvol.daemon.log import configure


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before[0], before[1]


class Terminal(io.StringIO):
    """Output to a terminal."""

    def isatty(self) -> bool:
        """Return True: it is a terminal."""
        return True


def lines(monkeypatch: pytest.MonkeyPatch, form: str, out: io.StringIO, level: str = "info") -> list[str]:
    """Log one event of each level, one of a library, and one with an exception."""
    monkeypatch.setattr("sys.stdout", out)
    log = configure(level, form)
    log.debug("hidden", volume="v")
    log.info("volume created", volume="v", options={"uid": "7", "mode": "0700"}, until=datetime(2026, 2, 3, tzinfo=UTC))
    log.warning("request failed", error="no\nroom")
    logging.getLogger("library").warning("odd %s", "thing")
    log.warning("unexpected", exc_info=ValueError("why"))
    return out.getvalue().splitlines()


def test_lines_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line has the time in UTC, the level, the event and the facts; a newline in a fact begins no line."""
    shown = lines(monkeypatch, "console", io.StringIO())
    assert shown[0].endswith('Z info    volume created  volume=v options="uid=7 mode=0700" until=2026-02-03T00:00:00Z')
    assert shown[1].endswith(r'Z warning request failed  error="no\nroom"')
    assert shown[2].endswith("Z warning odd thing  logger=library")
    assert shown[3].endswith("Z warning unexpected")
    assert shown[-1] == "ValueError: why"
    assert "hidden" not in "".join(shown)


def test_colours_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the level has a colour, and only on a terminal."""
    assert "\x1b[33mwarning\x1b[0m request failed" in lines(monkeypatch, "console", Terminal())[1]


def test_lines_for_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line is one JSON object, whatever the facts are."""
    shown = [json.loads(line) for line in lines(monkeypatch, "json", io.StringIO(), "debug")]
    assert [line["level"] for line in shown] == ["debug", "info", "warning", "warning", "warning"]
    assert shown[1]["options"] == {"uid": "7", "mode": "0700"}
    assert shown[2]["error"] == "no\nroom"
    assert "ValueError: why" in shown[4]["traceback"]
    assert all(line["timestamp"].endswith("Z") for line in shown)


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_name_that_is_not_utf_8_is_escaped(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """A directory can have any name; it is still one line."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    configure("info", form).warning("directory left alone", directory="a\udcff\x1b[2J")
    (line,) = out.getvalue().splitlines()
    assert r"a\\udcff\u001b[2J" in line
