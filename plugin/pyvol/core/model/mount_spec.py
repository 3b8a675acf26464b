"""Mounted volumes as people describe them: `type`, `device` and `o`, with the words of Docker's own local driver."""

import re
from typing import NamedTuple

import msgspec

from pyvol.core.errors import BadOption
from pyvol.core.model.volume import MountType, OnRemove, VolumeSpec

NFS_PORT = 2049
SECRET = re.compile(
    r"(?<![\w.-])([\w.-]*(?:pass|passwd|password2?|passphrase|secret|creds?|credentials?|token)=)"
    r'(?:"[^"]*"|,,|[^,])*',
    re.IGNORECASE,
)
"""An option that holds a secret, up to the next one; a comma that is quoted or doubled is the value's."""
BINDS = frozenset({"bind", "rbind"})
MOVES = BINDS | {"move", "remount"}
"""With these mount(8) does not look at the type: it shows, moves or changes what is there already."""
NFS = frozenset({MountType.NFS, MountType.NFS4})
NO_TCP = frozenset({"udp", "udp6", "rdma", "rdma6"})
"""Transports whose port a TCP connection tells nothing of."""


class NfsExport(NamedTuple):
    """An NFS export as mount.nfs takes it.

    Attributes:
        host: the server's name or address.
        path: on the server.
        options: the mount's, without `addr`.
    """

    host: str
    path: str
    options: str

    @property
    def source(self) -> str:
        """``HOST:/PATH``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.path}" if ":" in self.host else f"{self.host}:{self.path}"

    @property
    def port(self) -> int | None:
        """The server's TCP port; None when it is not asked by TCP."""
        options = pairs(self.options)
        if options.get("proto") in NO_TCP or "udp" in options or "rdma" in options:
            return None
        port = options.get("port", "")
        return int(port) if port.isdigit() and 0 < int(port) < 2**16 else NFS_PORT


def redact(options: str) -> str:
    """Return mount options with the secrets in them made unreadable."""
    return SECRET.sub(r"\1********", options)


def pairs(options: str) -> dict[str, str]:
    """Return mount options by name; of one that is given twice the last, as the kernel does."""
    return {key: text for key, _, text in (part.partition("=") for part in options.split(",")) if key}


def parse(device: str, options: str = "") -> NfsExport:
    """Read an NFS device and its options; raises `BadOption` when no server is named.

    Docker's local driver hands `addr` to the kernel, whatever host the device names; so does this.
    """
    host, colon, path = device.rpartition(":/")
    path = f"/{path}"
    address = pairs(options).get("addr", "")
    host = address or host.removeprefix("[").removesuffix("]")
    if not colon:
        raise BadOption(f"device {device!r} is no NFS export: write HOST:/PATH, or :/PATH and addr=HOST in o")
    if not host or host.startswith("-") or "/" in host:
        raise BadOption(f"device {device!r} names no server: write HOST:/PATH, or put addr=HOST into o")
    rest = ",".join(part for part in options.split(",") if part and not part.startswith("addr="))
    return NfsExport(host, path, rest)


def of(spec: VolumeSpec) -> NfsExport | None:
    """Return the export that a volume is a mount of; None for any other volume."""
    if spec.type not in NFS or spec.device is None:
        return None
    return parse(spec.device, spec.o or "")


def normalise(spec: VolumeSpec) -> VolumeSpec:
    """Return the spec of a mounted volume normalised, of another as it is; raises `BadOption` for contradictions."""
    if spec.type is None or spec.device is None:
        for missing, needed_by, value in (("type", "device", spec.device), ("device", "type", spec.type)):
            if value is not None:
                raise BadOption(f"missing required option {missing!r}: {needed_by} goes with it, as in Docker's local")
        if not spec.create:
            raise BadOption("create=false goes with type=nfs: nothing else is created where it is missing")
        return spec
    if spec.path is not None:
        raise BadOption("path= and type= contradict: a volume is an existing directory or a mount, leave out one")
    if spec.on_remove is OnRemove.DELETE:
        raise BadOption("type= and on_remove=delete contradict: what is mounted always stays, leave out one of them")
    if spec.type is not MountType.NONE and pairs(spec.o or "").keys() & MOVES:
        raise BadOption(f"bind goes with type=none: with type={spec.type} it would mount a directory of this host")
    if spec.type in NFS:
        parse(spec.device, spec.o or "")
    elif not spec.create:
        raise BadOption("create=false goes with type=nfs: nothing else is created where it is missing")
    return _adopter(spec) if spec.type is MountType.NONE else spec


def _adopter(spec: VolumeSpec) -> VolumeSpec:
    """Return a plain bind as what it is: an adopted path."""
    assert spec.device is not None  # noqa: S101  # `normalise` looked
    options = set((spec.o or "").split(","))
    if not options & BINDS:
        raise BadOption("type=none is for binds: put bind into o, as in o=bind")
    if not spec.device.startswith("/"):
        raise BadOption(f"device {spec.device!r} is no absolute path: begin it with /")
    if options <= BINDS | {"rw"}:
        return msgspec.structs.replace(spec, path=spec.device, type=None, device=None, o=None)
    return spec
