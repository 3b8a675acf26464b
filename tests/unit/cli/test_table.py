"""Tables as people see them, and as grep does."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from pyvol.cli import table

HEADINGS = ("NAME", "STATE", "SAYS")
ROWS: list[tuple[str | Text, ...]] = [
    ("data", Text("ok", "green"), "fine"),
    ("日本", "", "two\nlines\x1b"),
    ("x", "busy", ""),
]


def test_where_nobody_looks_words_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are aligned, wide letters and cells of several lines included; no colours, no blanks at the end."""
    table.show_table(HEADINGS, ROWS, "nothing")
    assert capsys.readouterr().out.splitlines() == [
        "NAME  STATE  SAYS",
        "data  ok     fine",
        "日本         two",
        "             lines\\x1b",
        "x     busy",
    ]
    table.show_table(HEADINGS, [], "nothing")
    assert capsys.readouterr() == ("", "nothing\n")


@pytest.mark.parametrize("width", [40, 12])
def test_a_terminal_gets_colours_and_all_of_it(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Where it is too narrow cells are folded, and no letter is lost."""
    seen = io.StringIO()
    monkeypatch.setattr(table, "Console", lambda **_: Console(file=seen, force_terminal=True, width=width))
    table.show_table(HEADINGS, ROWS, "nothing")
    text = seen.getvalue()
    assert "\x1b[32mok" in text
    letters = {letter for row in ROWS for cell in row for letter in str(cell) if letter.isprintable() and letter != " "}
    assert letters <= set(text)
    assert ("NAME" in Text.from_ansi(text).plain) is (width == 40)
