"""A line of mountinfo, taken apart as far as tests ask."""

from typing import NamedTuple


class Mounted(NamedTuple):
    """What the kernel says of one mount."""

    root: str
    kind: str
    source: str
    options: frozenset[str]


def read(line: str) -> Mounted:
    """Take a line apart; the options are those of the mount and those of its file system."""
    before, _, after = line.partition(" - ")
    fields = before.split()
    kind, source, super_options = after.split(" ", 2)
    return Mounted(fields[3], kind, source, frozenset((fields[5] + "," + super_options).split(",")))
