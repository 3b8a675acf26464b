"""The labels that people set with `pyvol set`. An engine's own labels do not reach pyvol (engine fact 18)."""

from collections.abc import Mapping

from pyvol.core.errors import BadOption

Labels = tuple[tuple[str, str], ...]
"""Sorted by key. Most volumes have no labels and share one empty tuple."""

MOST = 64
LONGEST_KEY = 128
LONGEST_VALUE = 1024


def change(labels: Labels, changes: Mapping[str, str | None]) -> Labels:
    """Return labels after changes, where None deletes a label; raises `BadOption` for an invalid label."""
    now = dict(labels)
    for key, text in changes.items():
        _check(key, text or "")
        if text is None:
            now.pop(key, None)
        else:
            now[key] = text
    if len(now) > MOST:
        raise BadOption(f"a volume has at most {MOST} labels", hint="delete some with --label-rm")
    return tuple(sorted(now.items()))


def shown(labels: Labels) -> str:
    """Return labels as one text for people."""
    return " ".join(f"{key}={text}" for key, text in labels)


def _check(key: str, text: str) -> None:
    if not key or len(key) > LONGEST_KEY or not key.isprintable() or set(key) & set(" =,"):
        raise BadOption(
            f"{key[:LONGEST_KEY]!r} is not a label",
            hint=f"use KEY=VALUE, where the key has 1 to {LONGEST_KEY} characters and no spaces or commas",
        )
    if len(text) > LONGEST_VALUE or not text.isprintable():
        raise BadOption(f"the value of label {key} is not one line of at most {LONGEST_VALUE} characters")
