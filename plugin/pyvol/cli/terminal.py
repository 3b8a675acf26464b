"""What the output is: a terminal, with or without colours, or something that a program reads."""

import os
import shutil
from typing import NamedTuple, TextIO

COLOURLESS = {"dumb", "unknown"}


class Terminal(NamedTuple):
    """An output of this process.

    Attributes:
        width: in columns; None if it is not a terminal.
        has_colours: it is a terminal that shows colours, and the user wants them (see https://no-color.org).
    """

    width: int | None
    has_colours: bool


def find_terminal(stream: TextIO) -> Terminal:
    """Return what a stream is."""
    if not stream.isatty():
        return Terminal(None, has_colours=False)
    has_colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in COLOURLESS
    return Terminal(shutil.get_terminal_size().columns, has_colours)
