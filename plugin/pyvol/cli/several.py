"""Commands that take several names: what is there is shown, and of the rest it is told at the end."""

from collections.abc import Sequence

from pyvol.client import Client, RequestRefused
from pyvol.core.errors import BadName, PyvolError
from pyvol.wire.codec import STATUS
from pyvol.wire.messages import VolumeInfo


def find_each(client: Client, names: Sequence[str]) -> tuple[list[VolumeInfo], list[PyvolError]]:
    """Return the volumes of these names, and why there is none for the others."""
    found, missing = [], list[PyvolError]()
    for name in dict.fromkeys(names):
        try:
            found.append(client.volume(name))
        except (BadName, RequestRefused) as error:
            missing.append(error)
    return found, missing


def tell(missing: Sequence[PyvolError]) -> None:
    """Raise what went wrong, if anything did: one error, with the exit code of the first."""
    if len(missing) == 1:
        raise missing[0]
    if missing:
        status = missing[0].status if isinstance(missing[0], RequestRefused) else STATUS[type(missing[0])][0]
        raise RequestRefused(status, "; ".join(map(str, missing)))
