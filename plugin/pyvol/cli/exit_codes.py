"""The exit code of a command that failed, and commands that could do only a part of what they were asked."""

from collections.abc import Sequence

from pyvol.api import error_codes
from pyvol.api.v1.schema.volumes import VolumeInfo
from pyvol.client.pyvol_api import Client, RequestRefused
from pyvol.core.errors import BadName, PyvolError


class SeveralFailed(PyvolError):
    """Several things failed. The code, and with it the exit code, is the first error's."""

    def __init__(self, wrong: Sequence[PyvolError]) -> None:
        super().__init__("; ".join(map(str, wrong)))
        self.wrong = wrong
        self.code = wrong[0].code


def find_each(client: Client, names: Sequence[str]) -> tuple[list[VolumeInfo], list[PyvolError]]:
    """Return the volumes of these names, and an error for each name that has none."""
    found, missing = [], list[PyvolError]()
    for name in dict.fromkeys(names):
        try:
            found.append(client.volume(name))
        except (BadName, RequestRefused) as error:
            missing.append(error)
    return found, missing


def raise_all(wrong: Sequence[PyvolError]) -> None:
    """Raise the errors, if there are any, as one error."""
    if wrong:
        raise wrong[0] if len(wrong) == 1 else SeveralFailed(wrong)


def exit_code(error: PyvolError) -> int:
    """Return the exit code of an error, which its code decides."""
    return error_codes.row(error).exit_code
