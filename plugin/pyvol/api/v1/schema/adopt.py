"""Messages about adoptions."""

from enum import StrEnum

import msgspec


class AdoptKind(StrEnum):
    """What is adopted."""

    STRAY = "stray"
    """A directory in a pool, with its manifest, that the catalog does not know."""
    OPTIONS = "options"
    """What options name: a directory that stays where it is, or a mount."""
    DIRECTORY = "directory"
    """A directory whose content goes into a pool."""
    ENGINE = "engine"
    """The `_data` directory of a volume of the engine's own driver; its content goes into a pool."""


class AdoptMethod(StrEnum):
    """What happens to the files."""

    STAYS = "stays in place"
    MOUNT = "mounted as before"
    RENAME = "rename"
    COPY = "copy"


class Adopt(msgspec.Struct):
    """`POST /v1/adopt`, which starts a job, and `POST /v1/adopt/plan`: what becomes a volume."""

    name: str
    kind: AdoptKind
    options: dict[str, str] = {}
    source: str = ""


class AdoptPlan(msgspec.Struct, frozen=True):
    """What an adoption will do, or has done."""

    name: str
    kind: AdoptKind
    how: AdoptMethod
    pool: str
    source: str = ""
