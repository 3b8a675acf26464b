"""Mounted volumes as users write them: `type`, `device` and `o`, as in Docker's own local driver."""

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
"""An option with a secret, up to the next option; it may contain commas in quotes and double commas."""
BINDS = frozenset({"bind", "rbind"})
MOVES = BINDS | {"move", "remount"}
"""With these options mount(8) ignores the type: it binds, moves or changes an existing mount."""
NFS = frozenset({MountType.NFS, MountType.NFS4})
NO_TCP = frozenset({"udp", "udp6", "rdma", "rdma6"})
"""Transports whose port cannot be checked with a TCP connection."""


class NfsExport(NamedTuple):
    """An NFS export in the form that mount.nfs takes.

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
        """The server's TCP port; None if the export does not use TCP."""
        options = pairs(self.options)
        if options.get("proto") in NO_TCP or "udp" in options or "rdma" in options:
            return None
        port = options.get("port", "")
        return int(port) if port.isdigit() and 0 < int(port) < 2**16 else NFS_PORT


def redact(options: str) -> str:
    """Return mount options with each secret replaced by asterisks."""
    return SECRET.sub(r"\1********", options)


def pairs(options: str) -> dict[str, str]:
    """Return mount options by name; if an option is given twice, the last one counts, as in the kernel."""
    return {key: text for key, _, text in (part.partition("=") for part in options.split(",")) if key}


def parse(device: str, options: str = "") -> NfsExport:
    """Return the export of an NFS device and its options; raises `BadOption` if they name no server.

    `addr` takes precedence over the host in the device, as in Docker's local driver.
    """
    host, colon, path = device.rpartition(":/")
    path = f"/{path}"
    address = pairs(options).get("addr", "")
    host = address or host.removeprefix("[").removesuffix("]")
    if not colon:
        raise BadOption(f"device {device!r} is not an NFS export", hint="use HOST:/PATH, or :/PATH with addr=HOST in o")
    if not host or host.startswith("-") or "/" in host:
        raise BadOption(f"device {device!r} names no server", hint="use HOST:/PATH, or add addr=HOST to o")
    rest = ",".join(part for part in options.split(",") if part and not part.startswith("addr="))
    return NfsExport(host, path, rest)


def of(spec: VolumeSpec) -> NfsExport | None:
    """Return the export that a volume mounts; None for a volume without an export."""
    if spec.type not in NFS or spec.device is None:
        return None
    return parse(spec.device, spec.o or "")


def normalise(spec: VolumeSpec) -> VolumeSpec:
    """Return the spec, normalised if the volume is a mounted one; raise `BadOption` for a contradiction."""
    if spec.type is None or spec.device is None:
        for missing, needed_by, value in (("type", "device", spec.device), ("device", "type", spec.type)):
            if value is not None:
                raise BadOption(
                    f"missing required option {missing!r}",
                    f"{needed_by} needs it, as in Docker's local driver",
                    f"add {missing}=",
                )
        if not spec.create:
            raise _create_without_nfs()
        return spec
    if spec.path is not None:
        raise BadOption(
            "path= and type= contradict each other",
            "a volume is an existing directory or a mount",
            "leave out one of the two",
        )
    if spec.on_remove is OnRemove.DELETE:
        raise BadOption(
            "type= and on_remove=delete contradict each other",
            "pyvol never deletes the content of a mount",
            "leave out one of the two",
        )
    if spec.type is not MountType.NONE and pairs(spec.o or "").keys() & MOVES:
        raise BadOption(
            f"bind and type={spec.type} contradict each other",
            "bind would mount a directory of this host",
            "use type=none",
        )
    if spec.type in NFS:
        parse(spec.device, spec.o or "")
    elif not spec.create:
        raise _create_without_nfs()
    return _adopter(spec) if spec.type is MountType.NONE else spec


def _create_without_nfs() -> BadOption:
    return BadOption("create=false is only for type=nfs", "pyvol creates nothing else on a server", "leave out create")


def _adopter(spec: VolumeSpec) -> VolumeSpec:
    """Return a plain bind as an adopted path, which it is; return another bind as it is."""
    assert spec.device is not None  # noqa: S101  # `normalise` has checked it
    options = set((spec.o or "").split(","))
    if not options & BINDS:
        raise BadOption("type=none is only for binds", hint="add bind to o, for example o=bind")
    if not spec.device.startswith("/"):
        raise BadOption(f"device {spec.device!r} is not an absolute path", hint="start the path with /")
    if options <= BINDS | {"rw"}:
        return msgspec.structs.replace(spec, path=spec.device, type=None, device=None, o=None)
    return spec
