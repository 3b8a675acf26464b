"""How commands show things: tables for people, JSON for scripts."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

import click
import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pyvol.core.model.text import escape_control_chars
from pyvol.core.model.units import format_age, format_bytes
from pyvol.core.status.usage import Usage

GAP = "  "

Cell = str | Text
"""Of one style as a whole, where it has any."""


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def show_table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], nothing: str) -> None:
    """Print a table, or a sentence where there is nothing in it.

    Where the output is no terminal nothing is folded or cut, so that `grep` and `awk` find whole words.
    """
    if not rows:
        click.echo(nothing, err=True)
        return
    shown = [[_shown(cell) for cell in row] for row in rows]
    console = Console(highlight=False)
    widths = [max(map(_width, cells)) for cells in zip(headings, *shown, strict=True)]
    if console.is_terminal and sum(widths) + len(GAP) * (len(widths) - 1) > console.width:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for row in shown:
            table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
        console.print(table)
        return
    # Where all fits, rich's layout of a hundred thousand volumes would take minutes for the same.
    if console.is_terminal:
        colour = _Colours(console)
        lines = [*_lines([Text(heading, "bold") for heading in headings], widths, colour)]
        for row in shown:
            lines += _lines(row, widths, colour)
        console.file.write("\n".join([*lines, ""]))
    else:
        click.echo("\n".join(line for row in [headings, *shown] for line in _lines(row, widths, _plain)))


def _plain(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.plain


class _Colours:
    """Cells as a terminal shows them; there are few that differ."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, cell: Cell) -> str:
        if isinstance(cell, str):
            return cell
        key = cell.plain, str(cell.style)
        if key not in self._known:
            with self._console.capture() as captured:
                self._console.print(cell, end="", soft_wrap=True)
            self._known[key] = captured.get()
        return self._known[key]


def _width(cell: Cell) -> int:
    plain = _plain(cell)
    return len(plain) if plain.isascii() and "\n" not in plain else max(map(cell_len, plain.split("\n")))


def _lines(row: Sequence[Cell], widths: Sequence[int], colour: Callable[[Cell], str]) -> Iterator[str]:
    """Yield the lines of a row: as many as its highest cell has."""
    cells: list[list[Cell]] = [[*cell.split("\n")] for cell in row]
    for parts in zip_longest(*cells, fillvalue=""):
        yield GAP.join([_filled(part, width, colour) for part, width in zip(parts, widths, strict=True)]).rstrip()


def _filled(cell: Cell, width: int, colour: Callable[[Cell], str]) -> str:
    if isinstance(cell, str) and cell.isascii():
        return cell.ljust(width)
    return f"{colour(cell)}{' ' * (width - _width(cell))}"


def _shown(cell: Cell) -> Cell:
    """Return a cell that steers no terminal, whatever a disk or a container put into it."""
    return escape_control_chars(cell) if isinstance(cell, str) else cell


def health_cell(health: str, width: int | None = None) -> Text:
    """Return a health as green or red text, cut where it is wider."""
    cell = Text(escape_control_chars(health), style="green" if health == "ok" else "red")
    if width is not None:
        cell.truncate(width, overflow="ellipsis")
    return cell


def size_cell(usage: Usage | None) -> str:
    """Return what a volume takes, with the age of that count."""
    if usage is None:
        return "?"
    return f"{'>' if usage.trouble else ''}{format_bytes(usage.bytes)} ({ago(usage.counted)})"


def ago(moment: datetime | None) -> str:
    """Say how long ago a time was: `3 h ago`; in the future: `in 6 d`."""
    if moment is None:
        return "never"
    now = datetime.now(UTC)
    if moment <= now:
        return f"{format_age(now - moment)} ago"
    # What is to come is rounded: what goes in seven days does so a second later as well.
    return f"in {format_age(moment - now, nearest=True)}"
