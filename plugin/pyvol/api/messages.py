"""Every request and reply of Docker's protocol, as types: this file is the protocol's documentation.

Docker's verbs are POSTs with a JSON body and no Content-Type (engine fact 3); the field names are Docker's.
The messages of pyvol's own control API are in `pyvol.api.v1.schema`.
"""

from datetime import datetime

import msgspec


class Implements(msgspec.Struct):
    """Reply to `Plugin.Activate`: what this plugin is."""

    Implements: tuple[str, ...] = ("VolumeDriver",)


class Capability(msgspec.Struct):
    """`local`: each host has its own volumes. `global`: all hosts see the same."""

    Scope: str


class Capabilities(msgspec.Struct):
    """Reply to `VolumeDriver.Capabilities`."""

    Capabilities: Capability


class Create(msgspec.Struct):
    """`VolumeDriver.Create`; `Opts` is null when there are none (engine fact 4)."""

    Name: str
    Opts: dict[str, str] | None = None


class Name(msgspec.Struct):
    """`VolumeDriver.Get`, `Path` and `Remove`."""

    Name: str


class Mount(msgspec.Struct):
    """`VolumeDriver.Mount` and `Unmount`; the ID is the engine's (engine facts 7, 8 and 16)."""

    Name: str
    ID: str = ""


class Done(msgspec.Struct):
    """Reply to `Create`, `Remove` and `Unmount`."""

    Err: str = ""


class Mounted(msgspec.Struct):
    """Reply to `Mount` and `Path`: an absolute path (engine fact 30)."""

    Mountpoint: str
    Err: str = ""


class Listed(msgspec.Struct):
    """A volume in the reply to `List`."""

    Name: str
    Mountpoint: str


class Volumes(msgspec.Struct):
    """Reply to `List`: no nulls, no duplicates (engine fact 31)."""

    Volumes: list[Listed]
    Err: str = ""


class Shown(msgspec.Struct):
    """A volume in the reply to `Get`; `CreatedAt` has a zone (engine fact 2)."""

    Name: str
    Mountpoint: str
    CreatedAt: datetime
    Status: dict[str, str]


class Got(msgspec.Struct):
    """Reply to `Get`."""

    Volume: Shown
    Err: str = ""


class Error(msgspec.Struct):
    """The reply to one of Docker's verbs that failed: one sentence (engine fact 15)."""

    Err: str


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """The reply to a request of the control API that failed.

    Attributes:
        Err: the whole sentence, with the hint.
        code: the stable name of the error, see docs/errors.md.
        hint: what to do about it; left out where there is nothing to do.
        volume: the volume that the error is about; left out where it is about none.
    """

    Err: str
    code: str
    hint: str = ""
    volume: str = ""


class Health(msgspec.Struct):
    """Reply to `GET /healthz`."""

    status: str = "ok"
