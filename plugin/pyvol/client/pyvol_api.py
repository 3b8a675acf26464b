"""A client of the control API, for the command line, for tests and for scripts.

with Client(Path("/run/docker/plugins/pyvol.sock")) as pyvol:
    for volume in pyvol.volumes():
        print(volume.name, volume.health)
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import requests

from pyvol.api import messages
from pyvol.api.v1.schema.adopt import Adopt, AdoptPlan
from pyvol.api.v1.schema.doctor import Finding
from pyvol.api.v1.schema.events import EventBatch
from pyvol.api.v1.schema.jobs import JobInfo
from pyvol.api.v1.schema.trash import EmptyTrash, TrashInfo, Undelete
from pyvol.api.v1.schema.usage import CountRequest
from pyvol.api.v1.schema.volumes import Claims, Compare, Comparison, Rename, SetOptions, VolumeInfo
from pyvol.client.unix_http import SocketClient
from pyvol.core import errors
from pyvol.core.concurrency.jobs import LONGEST_WAIT_S
from pyvol.core.model.volume import check_name

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 600
"""The doctor reads every manifest."""
PROGRESS_S = 0.5
"""How often a client that waits for a job sees its progress."""


class RequestRefused(errors.PyvolError):
    """The daemon answered with an error: its sentence, its code, its hint and its volume."""

    def __init__(self, failure: messages.Failure) -> None:
        super().__init__(failure.Err)
        self.code = failure.code
        self.hint = failure.hint
        self.volume = failure.volume

    def __str__(self) -> str:
        return self.what


class Client(SocketClient):
    """A daemon, through the socket that `pyvol serve` listens on.

    Args:
        socket: the path of the socket; also an attribute.
        read_timeout_s: how long the daemon may take to answer a request that is not meant to take long.
    """

    def __init__(self, socket: Path, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        super().__init__(socket)
        self._read_timeout_s = read_timeout_s

    def volumes(self) -> list[VolumeInfo]:
        """Return all volumes, by name."""
        return self._ask("GET", "/v1/volumes", list[VolumeInfo])

    def volume(self, name: str) -> VolumeInfo:
        """Return one volume."""
        return self._ask("GET", f"/v1/volumes/{check_name(name)}", VolumeInfo)

    def set(self, name: str, options: Mapping[str, str], labels: Mapping[str, str | None] | None = None) -> VolumeInfo:
        """Change options and labels of a volume; None removes a label."""
        message = SetOptions(dict(options), dict(labels or {}))
        return self._ask("POST", f"/v1/volumes/{check_name(name)}/set", VolumeInfo, message)

    def compare(self, name: str, options: Mapping[str, str] | None) -> Comparison:
        """Return where a volume differs from requested options; with None, only whether it exists."""
        message = Compare(None if options is None else dict(options))
        return self._ask("POST", f"/v1/volumes/{check_name(name)}/compare", Comparison, message)

    def move_to_trash(self, name: str) -> None:
        """Remove a volume in a way that can be undone, whatever its options say."""
        self._ask("POST", f"/v1/volumes/{check_name(name)}/trash", messages.Done)

    def rename(self, name: str, new_name: str) -> VolumeInfo:
        """Give a volume another name."""
        message = Rename(check_name(new_name))
        return self._ask("POST", f"/v1/volumes/{check_name(name)}/rename", VolumeInfo, message)

    def claims(self) -> Claims:
        """Return all claims that are known, and the pools of which other hosts' claims are not."""
        return self._ask("GET", "/v1/claims", Claims)

    def trash(self) -> list[TrashInfo]:
        """Return what can be undeleted, the latest removal first."""
        return self._ask("GET", "/v1/trash", list[TrashInfo])

    def empty_trash(self, names: Sequence[str] = (), *, kept_too: bool = False) -> JobInfo:
        """Start to delete removed volumes permanently. The job's result is an `Emptied`."""
        return self._ask("POST", "/v1/trash/empty", JobInfo, EmptyTrash(list(names), kept_too))

    def undelete(self, name: str, new_name: str | None = None) -> VolumeInfo:
        """Bring a removed volume back."""
        return self._ask("POST", "/v1/undelete", VolumeInfo, Undelete(name, new_name))

    def adoptable(self) -> list[AdoptPlan]:
        """Return the directories in the pools that no catalog knows."""
        return self._ask("GET", "/v1/adopt", list[AdoptPlan])

    def plan_adoption(self, asked: Adopt) -> AdoptPlan:
        """Return what an adoption would do."""
        return self._ask("POST", "/v1/adopt/plan", AdoptPlan, asked)

    def adopt(self, asked: Adopt) -> JobInfo:
        """Start to make a volume of what exists. The job's result is an `AdoptPlan`: what was done."""
        return self._ask("POST", "/v1/adopt", JobInfo, asked)

    def events(self, after: int, life: str = "", wait_s: float = 0) -> EventBatch:
        """Return the events after an event, or wait for one; see `pyvol.core.status.events.Events.after`."""
        return self._ask("GET", f"/v1/events?after={after}&life={life}&wait={wait_s:g}", EventBatch)

    def count(self, names: Sequence[str] = ()) -> JobInfo:
        """Start to count what these volumes take, or all. The job's result is a `UsageInfo` for each name."""
        return self._ask("POST", "/v1/usage", JobInfo, CountRequest(list(names)))

    def jobs(self) -> list[JobInfo]:
        """Return the jobs that the daemon remembers, the latest first."""
        return self._ask("GET", "/v1/jobs", list[JobInfo])

    def job(self, job_id: str, wait_s: float = 0) -> JobInfo:
        """Return a job. Waits until it has ended, but no longer than `wait_s`."""
        return self._ask("GET", f"/v1/jobs/{quote(job_id, safe='')}?wait={wait_s:g}", JobInfo)

    def cancel_job(self, job_id: str, wait_s: float = 0) -> JobInfo:
        """Cancel a job and return it. Waits until it has ended, but no longer than `wait_s`."""
        return self._ask("POST", f"/v1/jobs/{quote(job_id, safe='')}/cancel?wait={wait_s:g}", JobInfo)

    def wait(self, job: JobInfo, on_progress: Callable[[JobInfo], None] | None = None) -> JobInfo:
        """Return a job when it has ended, in whatever way.

        Args:
            job: as it was last seen.
            on_progress: gets the job now and then, until it has ended.
        """
        wait_s = LONGEST_WAIT_S if on_progress is None else PROGRESS_S
        while job.ended is None:
            if on_progress is not None:
                on_progress(job)
            asked = time.monotonic()
            job = self.job(job.id, wait_s)
            if job.ended is None:  # with too many clients that wait, the daemon answers at once
                time.sleep(max(PROGRESS_S - (time.monotonic() - asked), 0))
        return job

    def result(self, job: JobInfo, kind: type[T]) -> T:
        """Wait for a job and return its result.

        Raises:
            RequestRefused: the job failed, or was cancelled before it had a result.
        """
        ended = self.wait(job)
        if ended.error is not None:
            raise RequestRefused(ended.error)
        return msgspec.json.decode(ended.result, type=kind)

    def findings(self) -> list[Finding]:
        """Return what the daemon's doctor found."""
        return self._ask("GET", "/v1/doctor", list[Finding])

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        message: Any = None,
    ) -> T:
        """Send a request and return the reply.

        Raises:
            RequestRefused: the daemon answered with an error.
            DaemonUnreachable: no daemon answers.
        """
        body = None if message is None else msgspec.json.encode(message)
        try:
            reply = self.request(method, path, body, (CONNECT_TIMEOUT_S, self._read_timeout_s))
        except requests.ReadTimeout as error:
            raise errors.DaemonUnreachable(
                f"pyvol on {self.socket} has not answered for {self._read_timeout_s:g} s",
                "it may still do what you asked for; look at its log, and try again",
            ) from error
        except requests.RequestException as error:
            if isinstance(errors.find_cause(error), PermissionError):
                raise errors.DaemonUnreachable(
                    f"you may not connect to pyvol on {self.socket}", "only root may, so put `sudo` before the command"
                ) from error
            raise errors.DaemonUnreachable(
                f"no pyvol answers on {self.socket}",
                "start it with `systemctl start pyvol.socket`, `docker plugin enable pyvol` or `pyvol serve`, or name "
                "its socket with --socket",
            ) from error
        try:
            if reply.ok:
                return msgspec.json.decode(reply.content, type=kind)
            raise RequestRefused(msgspec.json.decode(reply.content, type=messages.Failure))
        except errors.UNDECODABLE as error:
            raise errors.DaemonUnreachable(
                f"the program that answers on {self.socket} is not a pyvol of this version ({error})",
                "upgrade the older of the two",
            ) from error
