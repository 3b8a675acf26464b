"""Commands that could not do all they were to: what is done is shown, of the rest it is told, also by the exit code."""

from collections.abc import Sequence

from pyvol.api.v1.schema.volumes import VolumeInfo
from pyvol.client.pyvol_api import Client, RequestRefused
from pyvol.core.errors import BadName, PyvolError


class SeveralFailed(PyvolError):
    """Several things went wrong; the exit code is the first one's."""

    def __init__(self, wrong: Sequence[PyvolError]) -> None:
        super().__init__("; ".join(map(str, wrong)))
        self.wrong = wrong


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
    """Raise what went wrong, if anything did, as one error."""
    if wrong:
        raise wrong[0] if len(wrong) == 1 else SeveralFailed(wrong)


def exit_code(error: PyvolError) -> int:
    """Return the exit code of an error; one that the daemon told has that of its status."""
    if isinstance(error, SeveralFailed):
        return exit_code(error.wrong[0])
    from pyvol.api.codec import STATUS  # noqa: PLC0415  # only where something went wrong

    if isinstance(error, RequestRefused):
        return next((code for status, code in STATUS.values() if status == error.status), 1)
    return STATUS[type(error)][1]
