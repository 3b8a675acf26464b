"""Compare requested options with a volume; an engine never reports a difference (engine fact 12)."""

from collections.abc import Mapping

import msgspec

from pyvol.core.errors import BadOption, NoSuchVolume, StorageFailed
from pyvol.core.lifecycle.volumes import Volumes
from pyvol.core.model import options
from pyvol.core.model.options import Difference
from pyvol.core.model.text import escape_control_chars


class Comparison(msgspec.Struct, frozen=True):
    """The requested options compared with the volume of a name.

    Attributes:
        exists: whether the volume exists.
        now: its new name, if it was renamed.
        problem: why pyvol would refuse the options; then it compares nothing.
        differences: the options that differ.
    """

    exists: bool
    now: str = ""
    problem: str = ""
    differences: tuple[Difference, ...] = ()


def compare(volumes: Volumes, name: str, opts: Mapping[str, str] | None) -> Comparison:
    """Compare options with a volume; with None, only look for the volume. Changes nothing."""
    problem = ""
    asked = None
    try:
        asked = None if opts is None else volumes.read_options(name, opts)
    except (BadOption, StorageFailed) as error:
        problem = escape_control_chars(str(error))
    try:
        volume = volumes.get(name)
    except NoSuchVolume as error:
        return Comparison(exists=False, now=error.is_now or "", problem=problem)
    found = () if asked is None else options.compare(volume.spec, asked)
    return Comparison(exists=True, problem=problem, differences=found)
