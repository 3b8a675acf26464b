"""Text for people: safe to show, also if it comes from a disk or a container, and hints for typos."""

import difflib
from collections.abc import Iterable


def escape_control_chars(text: str) -> str:
    """Return text with control characters, and bytes that are not UTF-8, escaped as in Python.

    Newlines stay.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'uid'? ` with the closest known word; empty if none is close."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""
