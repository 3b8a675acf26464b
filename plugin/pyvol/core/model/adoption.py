"""What is asked of an adoption, what it will do, and how far it is."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec


class Kind(StrEnum):
    """What is adopted."""

    STRAY = "stray"
    """A directory in a pool, with its descriptor, that the catalog does not know."""
    OPTIONS = "options"
    """What options name: a directory that stays where it is, or a mount."""
    DIRECTORY = "directory"
    """A directory whose content goes into a pool."""
    ENGINE = "engine"
    """The same, where it is the `_data` of a volume of the engine's own driver."""


class AdoptMethod(StrEnum):
    """What happens to the files."""

    STAYS = "stays in place"
    MOUNT = "mounted as before"
    RENAME = "rename"
    COPY = "copy"


class Asked(NamedTuple):
    """What is to be adopted: under which name, with which options, and from where."""

    name: str
    kind: Kind
    options: Mapping[str, str]
    source: str = ""


class Plan(msgspec.Struct, frozen=True):
    """What an adoption does, or has done."""

    name: str
    kind: Kind
    how: AdoptMethod
    pool: str
    source: str = ""


class Copied(msgspec.Struct, frozen=True):
    """How far a copy is; the whole is an estimate."""

    volume: str
    bytes: int
    of_bytes: int
