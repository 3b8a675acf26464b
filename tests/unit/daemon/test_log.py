"""The log: a line an event, for people or as JSON, and nothing that a name or an error can forge."""

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
    """Output that a person looks at."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


def lines(monkeypatch: pytest.MonkeyPatch, form: str, out: io.StringIO, level: str = "info") -> list[str]:
    """Log one event of each level, one of a library, and one with an exception."""
    monkeypatch.setattr("sys.stdout", out)
    log = configure(level, form)
    log.debug("hidden", volume="v")
    log.info("volume created", volume="v", options={"uid": "7", "mode": "0700"}, until=datetime(2026, 2, 3, tzinfo=UTC))
    log.warning("request failed", error="no\nroom")
    logging.getLogger("library").warning("odd %s", "thing")
    log.warning("unforeseen", exc_info=ValueError("why"))
    return out.getvalue().splitlines()


def test_lines_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time in UTC, level, event, facts; a newline in a fact does not begin a line."""
    shown = lines(monkeypatch, "console", io.StringIO())
    assert shown[0].endswith('Z info    volume created  volume=v options="uid=7 mode=0700" until=2026-02-03T00:00:00Z')
    assert shown[1].endswith(r'Z warning request failed  error="no\nroom"')
    assert shown[2].endswith("Z warning odd thing  logger=library")
    assert shown[3].endswith("Z warning unforeseen")
    assert shown[-1] == "ValueError: why"
    assert "hidden" not in "".join(shown)


def test_colours_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The level alone is coloured, and only where somebody looks."""
    assert "\x1b[33mwarning\x1b[0m request failed" in lines(monkeypatch, "console", Terminal())[1]


def test_lines_for_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """One JSON object a line, whatever the facts are."""
    shown = [json.loads(line) for line in lines(monkeypatch, "json", io.StringIO(), "debug")]
    assert [line["level"] for line in shown] == ["debug", "info", "warning", "warning", "warning"]
    assert shown[1]["options"] == {"uid": "7", "mode": "0700"}
    assert shown[2]["error"] == "no\nroom"
    assert "ValueError: why" in shown[4]["traceback"]
    assert all(line["timestamp"].endswith("Z") for line in shown)


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_name_that_is_no_utf_8_is_a_line_like_any_other(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """A directory can be called anything."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    configure("info", form).warning("directory left alone", directory="a\udcff\x1b[2J")
    (line,) = out.getvalue().splitlines()
    assert r"a\\udcff\u001b[2J" in line
