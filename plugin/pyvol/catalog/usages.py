"""The counted disk usage of volumes, kept across restarts. The file may be lost: pyvol can count again."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from pyvol.core.errors import UNDECODABLE
from pyvol.core.ports.host import Log
from pyvol.core.status.usage import Usage


class UsageStore:
    """The counts in `<state dir>/usage.json`. Implements `pyvol.core.status.usage.Store`.

    If the disk fails, only counts are lost, and the log says so. A file that this start could not read stays
    as it is, unless its content is damaged: the next start may be able to read it.
    """

    def __init__(self, state_dir: Path, log: Log) -> None:
        self._path = state_dir / "usage.json"
        self._log = log
        self._is_readable = True

    def load(self) -> dict[str, Usage]:
        """Return the counts by the volumes' ids; none if the file cannot be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Usage])
        except FileNotFoundError:
            return {}
        except (*UNDECODABLE, OSError) as error:
            self._is_readable = not isinstance(error, OSError)
            self._log.warning("counts cannot be read, and are counted again", file=self._path, error=str(error))
            return {}

    def save(self, counts: Mapping[str, Usage]) -> None:
        """Replace the file. It is not synced: if a power cut loses it, pyvol counts again."""
        if not self._is_readable:
            return
        written = self._path.with_suffix(".new")
        try:
            written.write_bytes(msgspec.json.encode(counts))
            written.replace(self._path)
        except OSError as error:
            self._log.warning("counts cannot be kept", file=self._path, error=str(error))
