"""Tables as people see them, and as grep does."""

import re

import pytest

from pyvol.cli import table
from pyvol.cli.table import Cell, Styled
from pyvol.cli.terminal import Terminal

HEADINGS = ("NAME", "STATE", "SAYS")
ROWS: list[tuple[Cell, ...]] = [
    ("data", Styled("ok", "green"), "fine, and all of it well"),
    ("日本", "", "two\nlines\x1b"),
    ("x", Styled("busy", "red"), ""),
]
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def test_a_program_gets_whole_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are aligned, also with wide letters and multi-line cells; no colours, no trailing blanks."""
    table.show_table(HEADINGS, ROWS, "nothing")
    assert capsys.readouterr().out.splitlines() == [
        "NAME  STATE  SAYS",
        "data  ok     fine, and all of it well",
        "日本         two",
        "             lines\\x1b",
        "x     busy",
    ]
    table.show_table(HEADINGS, [], "nothing")
    assert capsys.readouterr() == ("", "nothing\n")


def test_a_terminal_gets_colours() -> None:
    """The colours of the cells, and a bold heading; the text is the same as for a program."""
    lines = list(table.render_table(HEADINGS, ROWS, Terminal(80, has_colours=True)))
    assert lines[0].startswith("\x1b[1mNAME\x1b[0m  \x1b[1mSTATE\x1b[0m")
    assert lines[1] == "data  \x1b[32mok\x1b[0m     fine, and all of it well"
    plain = list(table.render_table(HEADINGS, ROWS, Terminal(None, has_colours=False)))
    assert [ANSI.sub("", line) for line in lines] == plain
    assert list(table.render_table(HEADINGS, ROWS, Terminal(80, has_colours=False))) == plain


def test_a_narrow_terminal_gets_folded_cells() -> None:
    """The widest column is folded between words."""
    assert list(table.render_table(HEADINGS, ROWS, Terminal(24, has_colours=False))) == [
        "NAME  STATE  SAYS",
        "data  ok     fine, and",
        "             all of it",
        "             well",
        "日本         two",
        "             lines\\x1b",
        "x     busy",
    ]


def test_names_and_ids_stay_whole() -> None:
    """The first column is folded only if the others would get too narrow."""
    rows = [("3f2a9c04d1e87b56", "count usage", "1 of 7 volumes")]
    assert list(table.render_table(("ID", "WHAT", "DONE"), rows, Terminal(34, has_colours=False))) == [
        "ID                WHAT     DONE",
        "3f2a9c04d1e87b56  count    1 of 7",
        "                  usage    volumes",
    ]
    assert max(map(len, table.render_table(("ID", "WHAT", "DONE"), rows, Terminal(24, has_colours=False)))) <= 24


@pytest.mark.parametrize("width", range(1, 40))
def test_no_letter_is_lost(width: int) -> None:
    """In a terminal of any width with room for a wide letter in each column, no line is too wide."""
    lines = [ANSI.sub("", line) for line in table.render_table(HEADINGS, ROWS, Terminal(width, has_colours=True))]
    shown = sorted("".join(lines).replace(" ", ""))
    whole = "".join(table.render_table(HEADINGS, ROWS, Terminal(None, has_colours=False)))
    assert shown == sorted(whole.replace(" ", ""))
    if width >= 10:
        assert max(map(table._width, lines)) <= width
