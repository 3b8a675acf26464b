"""When commands print colours, and how wide a table may be."""

import io
import os
import pty
from collections.abc import Iterator
from typing import TextIO

import pytest

from pyvol.cli.terminal import Terminal, find_terminal


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """A terminal of 100 columns that shows colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    ours, theirs = pty.openpty()
    with open(theirs, "w") as stream:  # noqa: PTH123  # a descriptor
        yield stream
    os.close(ours)


@pytest.mark.parametrize(
    ("name", "text", "has_colours"),
    [
        ("TERM", "xterm", True),
        ("TERM", "dumb", False),
        ("TERM", "unknown", False),
        ("NO_COLOR", "1", False),
        ("NO_COLOR", "", True),
    ],
)
def test_a_terminal_has_colours_unless_the_user_or_the_terminal_says_no(
    terminal: TextIO, monkeypatch: pytest.MonkeyPatch, name: str, text: str, *, has_colours: bool
) -> None:
    """NO_COLOR counts if it is not empty."""
    monkeypatch.setenv(name, text)
    assert find_terminal(terminal) == Terminal(100, has_colours)


def test_a_file_or_a_pipe_has_neither_width_nor_colours() -> None:
    """Programs get whole lines without control sequences."""
    assert find_terminal(io.StringIO()) == Terminal(None, has_colours=False)
