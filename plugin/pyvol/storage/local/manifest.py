"""The text of `volume.json` and `removed.json`: enough to rebuild the catalog, or to move a pool."""

from typing import Annotated, TypeVar

import msgspec

from pyvol.core.errors import UNDECODABLE, BadOption
from pyvol.core.model import labels, options
from pyvol.core.model.volume import NAME, Moment, Phase, Volume, VolumeSpec

T = TypeVar("T")

FORMAT = 1
HINT = "fix the file and restart pyvol"

VolumeId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """`volume.json`: what a volume is."""

    format: int
    id: VolumeId
    name: str
    created: Moment
    spec: VolumeSpec
    former: tuple[str, ...] = ()
    labels: dict[str, str] = {}


class Removal(msgspec.Struct, frozen=True):
    """`removed.json`: when and on which host a volume was removed, and until when the trash keeps it.

    With null, the trash keeps it without a limit.
    """

    removed: Moment
    until: Moment | None
    host: str


class Head(msgspec.Struct, frozen=True):
    """The fields that each format of `volume.json` has."""

    format: int


class ManifestUnreadable(ValueError):
    """This pyvol cannot read the file.

    Attributes:
        cause: what is wrong with it.
        hint: what to do.
    """

    def __init__(self, cause: str, hint: str = HINT) -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint


def encode(volume: Volume) -> bytes:
    """Return the content of `volume.json`."""
    own = Manifest(FORMAT, volume.id, volume.name, volume.created, volume.spec, volume.former, dict(volume.labels))
    return _encoded(own)


def decode(content: bytes) -> Volume:
    """Return the live volume that a `volume.json` describes. Raises `ManifestUnreadable`."""
    written = _decoded(content, Head).format
    if written != FORMAT:  # the rest of it may have any shape
        raise ManifestUnreadable(
            f"it has format {written}, this pyvol knows {FORMAT}",
            "upgrade pyvol on this host" if written > FORMAT else HINT,
        )
    found = _decoded(content, Manifest)
    if not NAME.fullmatch(found.name):
        raise ManifestUnreadable(f"{found.name!r} is not a volume name")
    try:
        options.check_read(found.spec)
        labelled = labels.change((), found.labels)
    except BadOption as error:
        raise ManifestUnreadable(error.summary) from None
    return Volume(found.id, found.name, found.spec, found.created, Phase.READY, former=found.former, labels=labelled)


def encode_removal(volume: Volume, host: str) -> bytes:
    """Return the content of `removed.json`."""
    assert volume.removed is not None  # noqa: S101  # the core sets it before the trash is asked
    return _encoded(Removal(volume.removed, volume.until, host))


def decode_removal(content: bytes) -> Removal:
    """Return what a `removed.json` says. Raises `ManifestUnreadable`."""
    return _decoded(content, Removal)


def _encoded(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _decoded(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except UNDECODABLE as error:
        raise ManifestUnreadable(str(error)) from None
