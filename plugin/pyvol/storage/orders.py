"""What a child is asked to do with a remote file system, and what it answers: messages between two of our processes."""

import msgspec


class Probe(msgspec.Struct, frozen=True, tag=True):
    """Ask whether a server answers; gives seconds."""

    host: str
    port: int
    timeout_s: float


class Mount(msgspec.Struct, frozen=True, tag=True):
    """Mount an export, make its path where it is missing, and give its root an owner and a mode; gives nothing."""

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
    """Give the root of what is mounted its owner and mode, and see by it whether it is alive; gives nothing."""

    whose: str
    target: str
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


class Unmount(msgspec.Struct, frozen=True, tag=True):
    """Unmount; gives whether there was something."""

    target: str
    flags: int = 0


class Failure(msgspec.Struct, frozen=True):
    """How an order failed: the name of the error's class, its sentence, and the kernel's number where there is one."""

    kind: str
    says: str
    code: int = 0


class Reply(msgspec.Struct, frozen=True):
    """The answer to an order."""

    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    failure: Failure | None = None


Order = Probe | Mount | Own | Unmount
