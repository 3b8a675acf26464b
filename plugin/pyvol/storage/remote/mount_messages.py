"""What a daemon asks a worker process to do with a server and its exports."""

import msgspec


class Probe(msgspec.Struct, frozen=True, tag=True):
    """Ask whether a server answers. Returns how many seconds the answer took."""

    host: str
    port: int
    timeout_s: float


class MountExport(msgspec.Struct, frozen=True, tag=True):
    """Mount an export, create its path if it is missing, and set the owner and mode of its root.

    Returns its `Space`.

    Attributes:
        volume: the volume that the mount is of; empty for a pool's mount.
        create: whether to create the path on the server.
        pool: the pool that the mount is of; empty for a volume's mount.
    """

    volume: str
    kind: str
    host: str
    path: str
    options: str
    target: str
    create: bool
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    pool: str = ""


class OwnMount(msgspec.Struct, frozen=True, tag=True):
    """Set the owner and mode of the root of a mount, which shows whether the mount is alive.

    Returns its `Space`.
    """

    volume: str
    target: str
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    pool: str = ""


class Unmount(msgspec.Struct, frozen=True, tag=True):
    """Unmount what is mounted at a place. Returns whether something was."""

    target: str
    flags: int = 0


OnMount = Probe | MountExport | OwnMount | Unmount
