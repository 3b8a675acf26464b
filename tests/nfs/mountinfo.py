"""A parser for lines of mountinfo, for the fields that tests need."""

from typing import NamedTuple


class Mounted(NamedTuple):
    """The kernel's data about one mount."""

    root: str
    kind: str
    source: str
    options: frozenset[str]


def read(line: str) -> Mounted:
    """Return the parsed line; the options include the file system's own options."""
    before, _, after = line.partition(" - ")
    fields = before.split()
    kind, source, super_options = after.split(" ", 2)
    return Mounted(fields[3], kind, source, frozenset((fields[5] + "," + super_options).split(",")))
