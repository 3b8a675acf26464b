"""Where what options ask for and what a volume has differ: an engine never tells (engine fact 12)."""

from collections.abc import Mapping

import msgspec

from pyvol.core.errors import BadOption, NoSuchVolume, StorageFailed
from pyvol.core.lifecycle.volumes import Volumes
from pyvol.core.model import options
from pyvol.core.model.options import Difference
from pyvol.core.model.text import escape_control_chars


class Comparison(msgspec.Struct, frozen=True):
    """Options that somebody asks for, beside the volume of a name.

    Attributes:
        exists: whether there is such a volume.
        now: what it is called now, when it was renamed.
        trouble: why the options would be refused; then nothing is compared.
        differences: where they differ.
    """

    exists: bool
    now: str = ""
    trouble: str = ""
    differences: tuple[Difference, ...] = ()


def compare(volumes: Volumes, name: str, opts: Mapping[str, str] | None) -> Comparison:
    """Compare options, or with None only look for the volume; nothing is changed."""
    trouble = ""
    asked = None
    try:
        asked = None if opts is None else volumes.read_options(name, opts)
    except (BadOption, StorageFailed) as error:
        trouble = escape_control_chars(str(error))
    try:
        volume = volumes.get(name)
    except NoSuchVolume as error:
        return Comparison(exists=False, now=error.is_now or "", trouble=trouble)
    found = () if asked is None else options.compare(volume.spec, asked)
    return Comparison(exists=True, trouble=trouble, differences=found)
