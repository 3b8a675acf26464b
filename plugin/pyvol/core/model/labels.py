"""Labels of pyvol's own, which people write on their volumes; an engine keeps those that it has to itself (fact 18)."""

from collections.abc import Mapping

from pyvol.core.errors import BadOption

Labels = tuple[tuple[str, str], ...]
"""Sorted by key; most volumes have none, and share one empty tuple."""

MOST = 64
LONGEST_KEY = 128
LONGEST_VALUE = 1024


def change(labels: Labels, changes: Mapping[str, str | None]) -> Labels:
    """Return labels with some set, or with None taken away; raises `BadOption`."""
    now = dict(labels)
    for key, text in changes.items():
        _check(key, text or "")
        if text is None:
            now.pop(key, None)
        else:
            now[key] = text
    if len(now) > MOST:
        raise BadOption(f"a volume has at most {MOST} labels: take some away with --label-rm")
    return tuple(sorted(now.items()))


def shown(labels: Labels) -> str:
    """Return them for people."""
    return " ".join(f"{key}={text}" for key, text in labels)


def _check(key: str, text: str) -> None:
    if not key or len(key) > LONGEST_KEY or not key.isprintable() or set(key) & set(" =,"):
        raise BadOption(
            f"{key[:LONGEST_KEY]!r} is no label: write KEY=VALUE, the key in 1 to {LONGEST_KEY} characters without "
            "spaces and commas"
        )
    if len(text) > LONGEST_VALUE or not text.isprintable():
        raise BadOption(f"label {key}: its value has to be one line of at most {LONGEST_VALUE} characters")
