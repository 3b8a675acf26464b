"""What a child is asked to do with a remote file system, and what it answers: messages between two of our processes."""

from datetime import datetime

import msgspec

from pyvol.core.model.volume import Volume


class Probe(msgspec.Struct, frozen=True, tag=True):
    """Ask whether a server answers; gives seconds."""

    host: str
    port: int
    timeout_s: float


class Mount(msgspec.Struct, frozen=True, tag=True):
    """Mount an export, make its path where it is missing, and give its root an owner and a mode; gives its `Space`."""

    whose: str
    kind: str
    host: str
    path: str
    options: str
    target: str
    create: bool
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


class Own(msgspec.Struct, frozen=True, tag=True):
    """Give the root of what is mounted its owner and mode, and see by it whether it is alive; gives its `Space`."""

    whose: str
    target: str
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


class Unmount(msgspec.Struct, frozen=True, tag=True):
    """Unmount; gives whether there was something."""

    target: str
    flags: int = 0


class Place(msgspec.Struct, frozen=True):
    """A pool on an export: what it is called, where it is mounted, and by which host."""

    name: str
    root: str
    host: str


class Use(msgspec.Struct, frozen=True, tag=True):
    """Call a method of the pool at a place, with what it takes; gives what that gives, but for undoing."""

    place: Place
    verb: str
    volume: Volume | None = None
    text: str | None = None


class Look(msgspec.Struct, frozen=True, tag=True):
    """Ask when the pool at a place was last changed; gives numbers that are others after each change."""

    place: Place


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """See that the pool at a place has its directories; gives its id where it has, or got them."""

    place: Place
    is_new: bool


class Lock(msgspec.Struct, frozen=True, tag=True):
    """Take a volume for its host; gives nothing, and the open files that are the lock."""

    place: Place
    volume: Volume
    since: datetime
    removing: bool = False


class Relock(msgspec.Struct, frozen=True, tag=True):
    """Take once more the locks that come with this as files, for a lease may have ended; gives `Relocked`."""

    volume: Volume


class Relocked(msgspec.Struct, frozen=True):
    """What became of the locks of a volume: whether it is held, and says so, and was lost in between."""

    is_held: bool
    is_signed: bool
    has_lapsed: bool = False


class Sign(msgspec.Struct, frozen=True, tag=True):
    """Say anew which host has a volume; gives nothing, and the open file that says it."""

    place: Place
    volume: Volume
    since: datetime


class Unlock(msgspec.Struct, frozen=True, tag=True):
    """Let go of a volume, by closing the files that come with this; gives nothing."""

    place: Place
    volume: Volume
    forget: bool = False


class AskHolders(msgspec.Struct, frozen=True, tag=True):
    """Ask which other hosts hold volumes; gives a list of `Holder`, with ids for names."""

    place: Place


class Failure(msgspec.Struct, frozen=True):
    """How an order failed: the name of the error's class, its sentence, and the kernel's number where there is one."""

    kind: str
    summary: str
    code: int = 0


class Reply(msgspec.Struct, frozen=True):
    """The answer to an order."""

    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    failure: Failure | None = None


Order = Probe | Mount | Own | Unmount | Use | Look | Prepare | Lock | Relock | Sign | Unlock | AskHolders
