"""This host's locks on the volumes of a shared pool: taken by children, kept by the daemon and by its keeper.

The keeper is what makes them last while a daemon that was killed is away: containers go on then, too.
"""

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import dup

import msgspec

from pyvol.core.errors import StorageFailed
from pyvol.core.model import Access, Volume
from pyvol.core.ports import Clock, Journal
from pyvol.host.keeping import Keeping
from pyvol.storage.orders import Lock, Place, Relock, Unlock
from pyvol.storage.servers import PATIENCE_S, Server

LOCK_S = 3.0
"""How long a mount waits for a lock that only tells other hosts; after its restart a server grants none for a while."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What the keeper knows of the files of a lock."""

    pool: str
    volume: Volume


_encode = msgspec.msgpack.Encoder().encode
_kept = msgspec.msgpack.Decoder(Kept)


class Holding:
    """The locks of one pool.

    Args:
        place: the pool's.
        server: it is on.
        keeping: keeps their files open over the end of this process.
        clock: the time.
        journal: the log.
    """

    def __init__(self, place: Place, server: Server, keeping: Keeping, clock: Clock, journal: Journal) -> None:
        self._place = place
        self._server = server
        self._keeping = keeping
        self._clock = clock
        self._journal = journal
        self._held: dict[str, tuple[Volume, Sequence[int]]] = {}
        self._doubtful: set[str] = set()

    def take_over(self, kept: Mapping[bytes, Sequence[int]]) -> None:
        """Take this pool's among the files that an earlier daemon has left to the keeper."""
        for key, files in kept.items():
            try:
                found = _kept.decode(key)
            except msgspec.MsgspecError as error:  # of another version of pyvol, whose locks end with the keeper
                self._journal.warning("lock of an earlier pyvol cannot be told", error=str(error))
                continue
            if found.pool == self._place.name:
                self._held[found.volume.name] = (found.volume, files)
                self._doubtful.add(found.volume.name)  # the server may have been away meanwhile

    def has(self, name: str) -> bool:
        """Tell whether a volume is held."""
        return name in self._held

    def names(self) -> list[str]:
        """Return those of the volumes that are held."""
        return list(self._held)

    def doubt(self) -> None:
        """Have all locks taken once more: the server was away, and may have freed them."""
        self._doubtful.update(self._held)

    def is_sure(self, volume: Volume) -> bool:
        """Tell whether a volume is held for sure; raises `StorageFailed` when that can't be told and matters."""
        if volume.name not in self._held:
            return False
        exclusive = volume.spec.access is Access.EXCLUSIVE
        if not exclusive and volume.name not in self._doubtful:
            return True
        held, files = self._held[volume.name]
        try:
            order = Relock(held)
            patience_s = PATIENCE_S if exclusive else LOCK_S
            still_held = self._server.ask(order, bool, patience_s, files=[dup(file) for file in files])
        except StorageFailed:
            if exclusive:
                raise
            return True  # the follower asks again
        if still_held:
            self._doubtful.discard(volume.name)
        else:
            self.let_go(volume)
        return still_held

    def take(self, volume: Volume) -> None:
        """Lock a volume; raises `VolumeInUse` and `StorageFailed`, unless it is only for other hosts to know."""
        exclusive = volume.spec.access is Access.EXCLUSIVE
        order = Lock(self._place, volume, self._clock())
        try:
            files = self._server.ask_for_files(order, PATIENCE_S if exclusive else LOCK_S)
        except StorageFailed as error:
            if exclusive or self._server.is_down():
                raise
            # Other hosts could remove it meanwhile; the follower tries again.
            self._journal.warning("other hosts do not know of a mount", volume=volume.name, error=str(error))
            return
        self._held[volume.name] = (volume, files)
        try:
            self._keeping.keep(self._key(volume), files)
        except OSError as error:
            self._journal.warning("lock would end with pyvol", volume=volume.name, error=str(error))

    def let_go(self, volume: Volume) -> None:
        """Unlock a volume; does nothing where it is not held."""
        held = self._held.pop(volume.name, None)
        self._doubtful.discard(volume.name)
        if held is None:
            return
        self._keeping.drop(self._key(held[0]))
        try:
            self._server.force(Unlock(self._place, held[0]), type(None), held[1])
        except StorageFailed as error:
            # The file is closed all the same, and the kernel tells the server as soon as that answers.
            self._journal.warning("lock let go of without an answer", volume=volume.name, error=str(error))

    @contextmanager
    def removing(self, volume: Volume) -> Iterator[None]:
        """See that nobody has a volume locked, nor locks it in the body; raises `VolumeInUse`."""
        try:
            files = self._server.ask_for_files(Lock(self._place, volume, self._clock(), removing=True))
        except StorageFailed as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.ENOLCK:
                raise
            files = ()  # an export without locks: only this host's containers are known of
        removed = False
        try:
            yield
            removed = True
        finally:
            try:
                self._server.force(Unlock(self._place, volume, forget=removed), type(None), files)
            except StorageFailed as error:
                self._journal.warning("lock not let go of", volume=volume.name, error=str(error))

    def _key(self, volume: Volume) -> bytes:
        return _encode(Kept(self._place.name, volume))
