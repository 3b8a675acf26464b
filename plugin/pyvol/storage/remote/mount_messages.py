"""What a daemon asks a worker process to do with a server and its exports."""

import msgspec


class Probe(msgspec.Struct, frozen=True, tag=True):
    """Ask whether a server answers. Returns how many seconds the answer took."""

    host: str
    port: int
    timeout_s: float


class MountExport(msgspec.Struct, frozen=True, tag=True):
    """Mount an export, create its path if it is missing, and set the owner and mode of its root. Returns its `Space`.

    Attributes:
        whose: what an error calls the mount.
        create: whether to create the path on the server.
    """

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


class OwnMount(msgspec.Struct, frozen=True, tag=True):
    """Set the owner and mode of the root of a mount, which shows whether the mount is alive. Returns its `Space`."""

    whose: str
    target: str
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


class Unmount(msgspec.Struct, frozen=True, tag=True):
    """Unmount what is mounted at a place. Returns whether something was."""

    target: str
    flags: int = 0


OnMount = Probe | MountExport | OwnMount | Unmount
