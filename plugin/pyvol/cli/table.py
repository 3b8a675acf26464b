"""How commands show things: tables for people, JSON for scripts."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate, chain, zip_longest
from typing import Any, NamedTuple
from unicodedata import combining, east_asian_width

import click
import msgspec

from pyvol.api.v1.schema.usage import UsageInfo
from pyvol.cli.terminal import Terminal, find_terminal
from pyvol.core.model.text import escape_control_chars
from pyvol.core.model.units import format_age, format_bytes

GAP = "  "
LEAST_WIDTH = 5
"""The columns after the first one are not made narrower than this to keep the first one whole."""


class Styled(NamedTuple):
    """The text of a cell, and how a terminal shows it: see `click.style`."""

    text: str
    colour: str | None = None
    is_bold: bool = False


Cell = str | Styled
_style = lru_cache(click.style)


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def show_table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], nothing: str) -> None:
    """Print a table, or a sentence if it has no rows."""
    if not rows:
        click.echo(nothing, err=True)
        return
    terminal = find_terminal(sys.stdout)
    click.echo("\n".join(render_table(headings, rows, terminal)), color=terminal.has_colours)


def render_table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], terminal: Terminal) -> Iterator[str]:
    """Yield the lines of a table.

    On a terminal that is too narrow, the widest columns are folded. If the output is not a terminal, nothing
    is folded or cut, so that `grep` and `awk` find whole words.
    """
    cells = [[_split(cell) for cell in row] for row in ([Styled(text, is_bold=True) for text in headings], *rows)]
    widths = [max(_width(_text(line)) for line in chain(*column)) for column in zip(*cells, strict=True)]
    if terminal.width is not None:
        widths = _narrow(widths, terminal.width - len(GAP) * (len(widths) - 1))
        cells = [[_fold(lines, width) for lines, width in zip(row, widths, strict=True)] for row in cells]
    for row in cells:
        for lines in zip_longest(*row, fillvalue=""):
            padded = (_pad(line, width, terminal) for line, width in zip(lines, widths, strict=True))
            yield GAP.join(padded).rstrip()


def _split(cell: Cell) -> list[Cell]:
    """Return the lines of a cell, safe for a terminal.

    Names and errors can come from disks and containers.
    """
    lines = escape_control_chars(_text(cell)).split("\n")
    return [*lines] if isinstance(cell, str) else [cell._replace(text=line) for line in lines]


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.text


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(letter: str) -> int:
    return 0 if combining(letter) else 2 if east_asian_width(letter) in {"W", "F"} else 1


def _narrow(widths: Sequence[int], room: int) -> list[int]:
    """Return the widths of the columns with the widest ones reduced until all of them fit.

    The first column keeps its width if the others have room: it has the names and ids that people copy.
    """
    first, others = widths[0], widths[1:]
    if sum(min(width, LEAST_WIDTH) for width in others) <= room - first:
        return [first, *_limit(others, room - first)]
    return _limit(widths, room)


def _limit(widths: Sequence[int], room: int) -> list[int]:
    limit = max(widths, default=0)
    while limit > 1 and sum(min(width, limit) for width in widths) > room:
        limit -= 1
    return [min(width, limit) for width in widths]


def _fold(lines: Sequence[Cell], width: int) -> list[Cell]:
    """Return lines that fit into a column, broken between words where possible."""
    folded: list[Cell] = []
    for line in lines:
        rest = _text(line)
        while _width(rest) > width:
            fits = sum(end <= width for end in accumulate(map(_columns, rest))) or 1
            space = rest.rfind(" ", 1, fits + 1)
            end = fits if space < 0 else space
            folded.append(rest[:end] if isinstance(line, str) else line._replace(text=rest[:end]))
            rest = rest[end:].lstrip(" ")
        folded.append(rest if isinstance(line, str) else line._replace(text=rest))
    return folded


def _pad(line: Cell, width: int, terminal: Terminal) -> str:
    text = _text(line)
    padding = " " * (width - _width(text))
    if isinstance(line, Styled) and text and terminal.has_colours:
        text = _style(text, fg=line.colour, bold=line.is_bold or None)
    return text + padding


def health_cell(health: str, width: int | None = None) -> Styled:
    """Return a health in green or red, cut if it is longer than `width`."""
    text = escape_control_chars(health)
    if width is not None and len(text) > width:
        text = f"{text[: width - 1]}…"
    return Styled(text, "green" if health == "ok" else "red")


def size_cell(usage: UsageInfo | None) -> str:
    """Return what a volume takes, with the age of that count."""
    if usage is None:
        return "?"
    return f"{'>' if usage.problem else ''}{format_bytes(usage.bytes)} ({ago(usage.counted)})"


def ago(moment: datetime | None) -> str:
    """Return how long ago a time was: `3 h ago`; for a time in the future: `in 6 d`."""
    if moment is None:
        return "never"
    now = datetime.now(UTC)
    if moment <= now:
        return f"{format_age(now - moment)} ago"
    # Rounded: what expires in seven days is still shown so a second later.
    return f"in {format_age(moment - now, nearest=True)}"
