"""The results: rows, a table for people, JSON for programs."""

import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

UNITS = {"µs": 1e6, "ms": 1e3, "s": 1.0, "MiB": 1 / (1 << 20), "mounts": 1.0}


@dataclass(frozen=True)
class Aim:
    """A limit that the project wants to keep, and whether the result keeps it."""

    text: str
    met: bool


@dataclass(frozen=True, kw_only=True)
class Row:
    """One result.

    Attributes:
        section: the part of the benchmark.
        what: the operation, and on how much data.
        who: the competitor.
        value: the result, in seconds or bytes.
        unit: the unit in which it is printed.
        p99: the 99th percentile, if there were enough calls.
        against: the name of the reference for `ratio`.
        reference: the value of the reference.
        ratio: the median of the ratios of all rounds.
        aim: None if the row is only for information.
    """

    section: str
    what: str
    who: str = "pyvol"
    value: float
    unit: str
    p99: float | None = None
    against: str = ""
    reference: float | None = None
    ratio: float | None = None
    aim: Aim | None = None


def under(limit: float, unit: str, value: float) -> Aim:
    """Return an aim for the value itself."""
    return Aim(f"< {limit:g} {unit}", value * UNITS[unit] < limit)


def within(factor: float, ratio: float) -> Aim:
    """Return an aim for the ratio."""
    return Aim(f"≤ {factor:g} x", ratio <= factor)


def shown(value: float | None, unit: str) -> str:
    """Return a value for people, with three significant digits."""
    if value is None:
        return ""
    number = value * UNITS[unit]
    return f"{number:.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


def print_table(rows: Sequence[Row], console: Console) -> None:
    """Print one table per section."""
    for section in dict.fromkeys(row.section for row in rows):
        table = Table(title=section, title_justify="left", title_style="bold")
        for column in ("what", "who"):
            table.add_column(column)
        for column in ("p50", "p99", "ratio"):
            table.add_column(column, justify="right")
        for column in ("to", "aim", ""):
            table.add_column(column)
        for row in rows:
            if row.section != section:
                continue
            mark = "" if row.aim is None else "[green]met[/green]" if row.aim.met else "[red]missed[/red]"
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}" if row.ratio < 100 else f"{row.ratio:.0f}"
            reference = f" {shown(row.reference, row.unit)}" if row.reference is not None else ""
            table.add_row(
                row.what, row.who, shown(row.value, row.unit), shown(row.p99, row.unit), ratio,
                row.against + reference, row.aim.text if row.aim else "", mark,
            )  # fmt: skip
        console.print(table)


def machine(directory: Path) -> dict[str, str]:
    """Return the facts that a reader needs to compare two runs."""
    found = subprocess.run(
        ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", directory],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "file system": found.stdout.strip() or "unknown",
        "load at start": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: installed(name) for name in ("pyvol", "flask", "gunicorn")},
    }


def installed(name: str) -> str:
    """Return the version of an installed distribution."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def save(rows: Iterable[Row], about: dict[str, str], path: Path) -> None:
    """Write all rows as JSON, in seconds and bytes."""
    content = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv[1:],
        "machine": about,
        "rows": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
