"""Durations, percentages and sizes as people write and read them: `7d`, `12h`, `10 %`, `1.5 GiB`."""

import re
from datetime import timedelta

from pyvol.core.errors import BadValue

SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
DURATION = re.compile(r"(?P<number>\d{1,6})\s*(?P<unit>[smhdw])", re.ASCII)
LONGEST = timedelta(days=365_000)
"""A thousand years. A date that is so far from today, in either direction, still exists."""
PERCENT = re.compile(r"(?P<number>\d{1,3}(?:\.\d{1,3})?)\s*%", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Return the span that `90s`, `15m`, `12h`, `7d` or `2w` means, or raise `BadValue`."""
    match = DURATION.fullmatch(text.strip())
    if not match:
        raise BadValue(f"{text!r} is not a duration", "use a number and s, m, h, d or w, for example 7d")
    span = timedelta(seconds=int(match["number"]) * SECONDS_OF[match["unit"]])
    if span > LONGEST:
        raise BadValue(f"{text!r} is too long", f"use at most {format_duration(LONGEST)}")
    return span


def format_duration(span: timedelta) -> str:
    """Return a span in the largest unit that divides it: 604800 s is `7d`, 5400 s is `90m`."""
    seconds = int(span.total_seconds())
    for unit in "dhm":
        if seconds and seconds % SECONDS_OF[unit] == 0:
            return f"{seconds // SECONDS_OF[unit]}{unit}"
    return f"{seconds}s"


def format_age(span: timedelta, *, nearest: bool = False) -> str:
    """Return a span in the largest unit that fits, such as `3 h`, rounded down or to the nearest number."""
    seconds = max(round(span.total_seconds()), 0)
    unit = next((unit for unit in "dhm" if seconds >= SECONDS_OF[unit]), "s")
    return f"{round(seconds / SECONDS_OF[unit]) if nearest else seconds // SECONDS_OF[unit]} {unit}"


def parse_percent(text: str) -> float:
    """Return the number that `10%` means, or raise `BadValue`."""
    match = PERCENT.fullmatch(text.strip())
    percent = float(match["number"]) if match else -1.0
    if not 0 <= percent <= 100:  # noqa: PLR2004  # per cent
        raise BadValue(f"{text!r} is not a percentage", "use 0% to 100%")
    return percent


def format_bytes(size: int) -> str:
    """Return a size with a binary unit: `1.5 GiB`."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004  # the step between two units
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
