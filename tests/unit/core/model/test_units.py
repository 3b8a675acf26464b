"""Durations, shares and sizes as people write them."""

from datetime import timedelta

import pytest

from pyvol.core.model import units


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("12 h", timedelta(hours=12)),
        ("2w", timedelta(14)),
    ],
)
def test_durations_are_read(text: str, span: timedelta) -> None:
    """A number and a unit, as systemd and Docker take them."""
    assert units.parse_duration(text) == span


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "7 days", "٣d"])
def test_invalid_durations_are_refused(text: str) -> None:
    """The error shows how one is written."""
    with pytest.raises(ValueError, match="is not a duration: use a number and s, m, h, d or w, for example 7d"):
        units.parse_duration(text)


def test_a_duration_beyond_all_dates_is_refused() -> None:
    """A duration beyond the calendar is refused: no removal could have a date."""
    assert units.parse_duration("365000d") == timedelta(days=365_000)
    with pytest.raises(ValueError, match="'999999d' is too long: use at most 365000d"):
        units.parse_duration("999999d")


@pytest.mark.parametrize("text", ["0s", "1s", "90s", "90m", "36h", "7d"])
def test_durations_are_shown_as_they_are_written(text: str) -> None:
    """The largest unit that divides it."""
    assert units.format_duration(units.parse_duration(text)) == text


@pytest.mark.parametrize(("text", "percent"), [("10%", 10), ("0 %", 0), ("99.5%", 99.5), ("100%", 100)])
def test_shares_are_read(text: str, percent: float) -> None:
    """Percent, from 0 to 100."""
    assert units.parse_percent(text) == percent


@pytest.mark.parametrize("text", ["", "10", "-1%", "101%", "%"])
def test_invalid_percentages_are_refused(text: str) -> None:
    """The error shows how one is written."""
    with pytest.raises(ValueError, match="is not a percentage: use 0% to 100%"):
        units.parse_percent(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 42, "4.0 TiB"),
        (1 << 60, "1048576.0 TiB"),
    ],
)
def test_bytes_are_shown_in_binary_units(size: int, text: str) -> None:
    """As `docker system df` would with its own units."""
    assert units.format_bytes(size) == text
