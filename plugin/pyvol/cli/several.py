"""Commands about several volumes: what can be done is done and shown, and of the rest it is told at the end."""

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


def tell(wrong: Sequence[PyvolError]) -> None:
    """Raise what went wrong, if anything did: one error, with the exit code of the first."""
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        first = wrong[0]
        status = first.status if isinstance(first, RequestRefused) else STATUS[type(first)][0]
        raise RequestRefused(status, "; ".join(map(str, wrong)))
