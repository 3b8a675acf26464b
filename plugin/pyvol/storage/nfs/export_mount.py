"""The one mount of an NFS pool: made when it is needed, and made again if the server lost what was mounted.

The kernel's mountinfo says whether it exists; pyvol does not remember that.
"""

import errno
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from pyvol.core.errors import ServerDown, StorageFailed
from pyvol.core.model.mount_spec import NfsExport
from pyvol.core.model.volume import Space
from pyvol.core.ports.host import Log
from pyvol.core.ports.pool import Condition
from pyvol.host.mounts.mount import MNT_DETACH
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.nfs.pool_id import UNNAMED, KnownPoolId
from pyvol.storage.remote.messages import Place, PreparePool
from pyvol.storage.remote.mount_messages import MountExport, Unmount
from pyvol.storage.remote.server import Server

DEFAULT_OPTIONS = "nconnect=4"
"""Four connections to a server carry more than one does; kernels before 5.3 use one alone."""
LOCAL_LOCKS = re.compile(r"\bnolock\b|local_lock=(?:all|flock)\b")
TURN_WAIT_S = 20.0
"""How long a caller waits for a mount in progress.

That may take `PATIENCE_S`, and an engine waits for 120 s.
"""


class ExportMount:
    """An export with a pool on it, at the pool's place.

    Args:
        place: the pool's.
        export: what is mounted there.
        server: it is on.
        mounts: what the kernel says is mounted.
        log: the log.
        is_used: returns whether volumes of the pool are known: then the export has to show the pool that has
            them.
        known_pool_id: which pool that is.
        turn_wait_s: how long a request waits for another one that is mounting.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # what a mount is made of
        self,
        place: Place,
        export: NfsExport,
        server: Server,
        mounts: KernelMounts,
        log: Log,
        is_used: Callable[[], bool],
        known_pool_id: KnownPoolId,
        turn_wait_s: float = TURN_WAIT_S,
    ) -> None:
        self._place = place
        self._export = export
        self._server = server
        self._mounts = mounts
        self._log = log
        self._is_used = is_used
        self._known_pool_id = known_pool_id
        self._turn = threading.Lock()
        self._turn_wait_s = turn_wait_s
        self._is_prepared = False
        self._failed: StorageFailed | None = None

    def is_there(self) -> bool:
        """Return whether something is mounted. Asks the kernel alone."""
        return self._mounts.is_mountpoint(self._place.root)

    def describe(self) -> str:
        """Return source, file system and options of what is mounted; empty if nothing is."""
        return self._mounts.describe(self._place.root)

    def condition(self) -> Condition:
        """Return what is known of the mount, for people."""
        mount = self.describe()
        if mount or self._failed is None:
            return Condition("mount", mount or f"{self._export.source} is not mounted", bool(mount))
        return Condition("mount", self._failed.summary, well=False, hint=self._failed.hint)

    def refuse_local_locks(self) -> None:
        """Raise `StorageFailed` if other hosts do not see the locks that are taken on this mount."""
        if LOCAL_LOCKS.search(self.describe()):
            raise StorageFailed(
                "access=exclusive is not possible",
                f"{self._export.source} is mounted with locks that no other host sees",
                "remove nolock and local_lock from the pool's options, or use another access",
            )

    def ensure_mounted(self) -> None:
        """Mount the export if it is not mounted.

        Raise `StorageFailed` if that fails, or if it has no pool.
        """
        if not self._is_prepared or not self.is_there():
            with self._alone():
                self._mount()

    def confirm(self) -> None:
        """Raise `StorageFailed` if the export does not show the known pool any more."""
        try:
            self._recognise(self._server.ask(PreparePool(self._place, is_new=False), str))
        except StorageFailed:
            self._is_prepared = False
            raise

    def renew(self) -> None:
        """Mount the export again. Running containers keep their mounts; only new ones would get this one."""
        self._log.warning("handle of an export is stale: mounting it again", pool=self._place.name)
        with self._alone():
            self._take_away()
            self._mount()

    def is_stale(self, error: StorageFailed) -> bool:
        """Return whether what is mounted is gone on the server: some errors say so, and ENOENT may."""
        if error.errno != errno.ENOENT:
            return error.errno == errno.ESTALE
        try:
            found = self._server.ask(PreparePool(self._place, is_new=False), str)
            return not found or self._known_pool_id.read() not in {"", found}
        except StorageFailed as other:
            return other.errno == errno.ESTALE

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self._turn_wait_s):
            raise StorageFailed(
                "cannot be used",
                f"{self._export.source} has been mounting for more than {self._turn_wait_s:.0f} s",
                "see the server's own log, then try again",
                pool=self._place.name,
            )
        try:
            yield
        finally:
            self._turn.release()

    def _mount(self) -> None:
        name, root = self._place.name, self._place.root
        if not self.is_there():
            self._is_prepared = False
            host, path, options = self._export
            self._ask_for(MountExport("", "nfs", host, path, options, root, not self._is_used(), pool=name))
            self._log.info("pool mounted", pool=name, mount=self.describe())
        if not self._is_prepared:
            try:
                found = self._server.ask(PreparePool(self._place, not self._is_used()), str)
            except StorageFailed as error:
                if error.errno == errno.ESTALE:  # of a disk that the server does not have any more
                    self._take_away()
                raise
            self._recognise(found)
            self._is_prepared = True

    def _recognise(self, found: str) -> None:
        """Raise `StorageFailed` if volumes are known and a pool is not the pool that has them."""
        try:
            known = self._known_pool_id.read()
        except StorageFailed as error:
            error.blame("cannot be used", pool=self._place.name)
            raise
        if found and (known in {"", found} or not self._is_used()):
            pool_id = "" if found == UNNAMED else found  # it may get an id later, and is the same pool
            if pool_id != known:
                self._known_pool_id.write(pool_id)
            return
        self._take_away()  # the next try mounts what the server has then
        if not found:
            raise StorageFailed(
                "cannot be used",
                f"{self._export.source} has none of the pool's directories, but this host knows volumes of the pool",
                "check that the server has mounted the right disk",
                pool=self._place.name,
            )
        raise StorageFailed(
            "cannot be used",
            f"{self._export.source} contains a different pool (id {found}, expected {known})",
            "check that the server has mounted the right disk; or, to drop this host's record of the pool, delete "
            f"{self._known_pool_id.path}",
            pool=self._place.name,
        )

    def _take_away(self) -> None:
        self._server.force(Unmount(self._place.root, MNT_DETACH), bool)

    def _ask_for(self, request: MountExport) -> None:
        try:
            try:
                self._server.ask(msgspec.structs.replace(request, options=_with_default(request.options)), Space)
            except StorageFailed as error:
                if error.errno != errno.EINVAL:
                    raise
                self._server.ask(request, Space)
        except StorageFailed as error:
            # That the server does not answer is a condition of the server, not of the mount.
            self._failed = None if isinstance(error, ServerDown) else error
            raise
        self._failed = None


def _with_default(options: str) -> str:
    known = {part.partition("=")[0] for part in options.split(",")}
    return options if "nconnect" in known else ",".join(filter(None, [options, DEFAULT_OPTIONS]))
