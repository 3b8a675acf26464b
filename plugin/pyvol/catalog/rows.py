"""Convert between rows and the core's types."""

from datetime import datetime
from typing import Any

import msgspec

from pyvol.core.model.labels import Labels
from pyvol.core.model.volume import Claim, Phase, Volume, VolumeSpec

VolumeRow = tuple[str, str, str, str, str, str | None, str | None, str, str]
NO_NAMES = "[]"
NO_LABELS = "[]"
ClaimRow = tuple[str, str, int, int, str]


def from_volume(volume: Volume) -> VolumeRow:
    """Return the values of a row of `volumes`."""
    return (
        volume.id,
        volume.name,
        msgspec.json.encode(volume.spec).decode(),
        volume.created.isoformat(),
        volume.phase.value,
        volume.removed.isoformat() if volume.removed else None,
        volume.until.isoformat() if volume.until else None,
        msgspec.json.encode(volume.former).decode(),
        msgspec.json.encode(volume.labels).decode(),
    )


class VolumeReader:
    """Reads rows of `volumes`. Equal specs share one object, because most volumes have no options."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(VolumeSpec).decode
        self._specs: dict[str, VolumeSpec] = {}

    def read(self, row: VolumeRow) -> Volume:
        """Return the volume of a row; raise ValueError or an error of msgspec if a value is invalid."""
        volume_id, name, text, created, phase, removed, until, former, written = row
        spec = self._specs.get(text)
        if spec is None:
            spec = self._specs[text] = self._decode(text)
        names = () if former == NO_NAMES else msgspec.json.decode(former, type=tuple[str, ...])
        times = (_time_or_none(removed), _time_or_none(until))
        labels = () if written == NO_LABELS else msgspec.json.decode(written, type=Labels)
        return Volume(volume_id, name, spec, _time(created), Phase(phase), *times, names, labels)


def from_claim(claim: Claim) -> ClaimRow:
    """Return the values of a row of `claims`."""
    return (claim.volume, claim.mount_id, claim.generation, claim.count, claim.since.isoformat())


def to_claim(row: tuple[Any, ...]) -> Claim:
    """Return the claim of a row of `claims`."""
    volume, mount_id, generation, count, since = row
    return Claim(volume, mount_id, generation, count, _time(since))


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone")
    return moment


def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else _time(text)
