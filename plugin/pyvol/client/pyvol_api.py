"""The control API from outside: for the CLI, for tests, for anyone's scripts.

with Client(Path("/run/docker/plugins/pyvol.sock")) as pyvol:
    for volume in pyvol.volumes():
        print(volume.name, volume.health)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import requests

from pyvol.api import messages
from pyvol.client.unix_http import SocketClient
from pyvol.core import errors
from pyvol.core.lifecycle.trash import Emptying
from pyvol.core.model.adoption import Plan
from pyvol.core.model.volume import check_name
from pyvol.core.status.compare import Comparison
from pyvol.core.status.doctor import Finding
from pyvol.core.status.events import EventBatch

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 600
"""The doctor reads the manifest of every volume."""


class RequestRefused(errors.PyvolError):
    """The daemon answered with an error; the sentence is the daemon's.

    Attributes:
        status: the HTTP status, see `pyvol.api.codec.STATUS`.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Client(SocketClient):
    """A daemon, through the socket that `pyvol serve` listens on.

    Args:
        socket: the path of the socket; also an attribute.
        read_timeout_s: how long the daemon may take to answer a request that is not meant to take long.
    """

    def __init__(self, socket: Path, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        super().__init__(socket)
        self._read_timeout_s = read_timeout_s

    def volumes(self) -> list[messages.VolumeInfo]:
        """Return all volumes, by name."""
        return self._ask("GET", "/v1/volumes", list[messages.VolumeInfo])

    def volume(self, name: str) -> messages.VolumeInfo:
        """Return one volume."""
        return self._ask("GET", f"/v1/volumes/{check_name(name)}", messages.VolumeInfo)

    def set(
        self, name: str, options: Mapping[str, str], labels: Mapping[str, str | None] | None = None
    ) -> messages.VolumeInfo:
        """Change options of a volume, and labels; one that is None is taken away."""
        message = messages.SetOptions(dict(options), dict(labels or {}))
        return self._ask("POST", f"/v1/volumes/{check_name(name)}/set", messages.VolumeInfo, message)

    def compare(self, name: str, options: Mapping[str, str] | None) -> Comparison:
        """Return where a volume differs from options that are asked for; with None, only whether it is there."""
        message = messages.Compare(None if options is None else dict(options))
        return self._ask("POST", f"/v1/volumes/{check_name(name)}/compare", Comparison, message)

    def move_to_trash(self, name: str) -> None:
        """Remove a volume in a way that can be undone, whatever its options say."""
        self._ask("POST", f"/v1/volumes/{check_name(name)}/trash", messages.Done)

    def rename(self, name: str, new_name: str) -> messages.VolumeInfo:
        """Give a volume another name."""
        message = messages.Rename(check_name(new_name))
        return self._ask("POST", f"/v1/volumes/{check_name(name)}/rename", messages.VolumeInfo, message)

    def claims(self) -> messages.Claims:
        """Return all claims that are known, and the pools of which other hosts' claims are not."""
        return self._ask("GET", "/v1/claims", messages.Claims)

    def trash(self) -> list[messages.TrashInfo]:
        """Return what can be undeleted, the latest removal first."""
        return self._ask("GET", "/v1/trash", list[messages.TrashInfo])

    def empty_trash(self, names: Sequence[str] = (), *, kept_too: bool = False) -> messages.Emptied:
        """Let go of removed volumes for good; returns when it is done, however many there are."""
        message = messages.EmptyTrash(list(names), kept_too)
        return self._ask("POST", "/v1/trash/empty", messages.Emptied, message, takes_its_time=True)

    def emptying(self) -> Emptying:
        """Return how far that is."""
        return self._ask("GET", "/v1/trash/empty", Emptying)

    def undelete(self, name: str, new_name: str | None = None) -> messages.VolumeInfo:
        """Bring a removed volume back."""
        return self._ask("POST", "/v1/undelete", messages.VolumeInfo, messages.Undelete(name, new_name))

    def adoptable(self) -> messages.Adoptable:
        """Return what of the pools is in no catalog, and which copies are under way."""
        return self._ask("GET", "/v1/adopt", messages.Adoptable)

    def adopt(self, asked: messages.Adopt) -> Plan:
        """Make a volume of what exists, or tell how; returns when it is done, however long a copy takes."""
        return self._ask("POST", "/v1/adopt", Plan, asked, takes_its_time=True)

    def events(self, after: int, life: str = "", wait_s: float = 0) -> EventBatch:
        """Return what happened after an event, or wait for it; see `pyvol.core.status.events.Events.after`."""
        return self._ask("GET", f"/v1/events?after={after}&life={life}&wait={wait_s:g}", EventBatch)

    def count(self, names: Sequence[str] = ()) -> messages.Counting:
        """Have volumes counted now: these, or all."""
        return self._ask("POST", "/v1/usage", messages.Counting, messages.CountNow(list(names)))

    def counting(self) -> messages.Counting:
        """Return what is being counted."""
        return self._ask("GET", "/v1/usage", messages.Counting)

    def findings(self) -> list[Finding]:
        """Return what the daemon's doctor found."""
        return self._ask("GET", "/v1/doctor", list[Finding])

    def _ask(self, method: str, path: str, kind: type[T], message: Any = None, *, takes_its_time: bool = False) -> T:
        """Send a request; the answer to one that takes its time is awaited for as long as the daemon lives.

        Raises:
            RequestRefused: the daemon said no.
            DaemonUnreachable: nobody answers.
        """
        body = None if message is None else msgspec.json.encode(message)
        timeout_s = None if takes_its_time else self._read_timeout_s
        try:
            reply = self.request(method, path, body, (CONNECT_TIMEOUT_S, timeout_s))
        except requests.ReadTimeout as error:
            raise errors.DaemonUnreachable(
                f"pyvol on {self.socket} has not answered for {timeout_s:g} s",
                "it may still do what was asked for; look at its log, and ask again",
            ) from error
        except requests.RequestException as error:
            if isinstance(errors.find_cause(error), PermissionError):
                raise errors.DaemonUnreachable(
                    f"you may not ask pyvol on {self.socket}", "it is for root alone, so put `sudo` before the command"
                ) from error
            raise errors.DaemonUnreachable(
                f"no pyvol answers on {self.socket}",
                "start it with `systemctl start pyvol.socket`, `docker plugin enable pyvol` or `pyvol serve`, or name "
                "its socket with --socket",
            ) from error
        try:
            if reply.ok:
                return msgspec.json.decode(reply.content, type=kind)
            raise RequestRefused(reply.status_code, msgspec.json.decode(reply.content, type=messages.Error).Err)
        except errors.UNDECODABLE as error:
            raise errors.DaemonUnreachable(
                f"what answers on {self.socket} is no pyvol of this version ({error})", "upgrade the older of the two"
            ) from error
