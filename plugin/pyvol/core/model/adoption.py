"""A request to adopt something, and what the adoption will do."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec


class Kind(StrEnum):
    """What to adopt."""

    STRAY = "stray"
    """A directory in a pool, with its manifest, that the catalog does not know."""
    OPTIONS = "options"
    """A directory that stays in place, or a mount, which the options name."""
    DIRECTORY = "directory"
    """A directory whose content moves into a pool."""
    ENGINE = "engine"
    """The `_data` directory of a volume of the engine's own driver; its content goes into a pool."""


class AdoptMethod(StrEnum):
    """What happens to the files."""

    STAYS = "stays in place"
    MOUNT = "mounted as before"
    RENAME = "rename"
    COPY = "copy"


class Asked(NamedTuple):
    """What to adopt: under which name, with which options, and from where."""

    name: str
    kind: Kind
    options: Mapping[str, str]
    source: str = ""


class Plan(msgspec.Struct, frozen=True):
    """What an adoption will do, or has done."""

    name: str
    kind: Kind
    how: AdoptMethod
    pool: str
    source: str = ""
