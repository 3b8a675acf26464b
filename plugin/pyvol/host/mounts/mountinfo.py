"""The text of mountinfo: its lines, and what can be read from them. See proc_pid_mountinfo(5)."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pyvol.core.model.mount_spec import redact

ESCAPE = re.compile(r"\\([0-7]{3})")
SPECIAL = re.compile(r"[ \t\n\\]")


class Mount(NamedTuple):
    """One line of mountinfo.

    Attributes:
        mount_id: unique in its namespace.
        parent_id: of the mount that has the directory on which this one is mounted.
        device: ``major:minor`` of the file system.
        root: the directory of the file system that is shown; of NFS, whose root always reads as ``/``, the source,
            which of a bind names the directory on the server.
        mountpoint: where it is shown, as its namespace sees it.
        group: the peer group with which it shares what is mounted below it; empty for none.
    """

    mount_id: int
    parent_id: int
    device: str
    root: str
    mountpoint: str
    group: str


def parse(table: str) -> list[Mount]:
    """Return the mounts of a namespace, in the order in which they were made."""
    return [parse_line(line) for line in table.split("\n") if line]


def parse_line(line: str) -> Mount:
    """Return the mount that a line is of."""
    fields = line.split(" ")
    root = fields[3]
    if " - nfs" in line:
        root = line.partition(" - ")[2].split(" ")[1]
    group = next((field for field in fields[6 : fields.index("-")] if field.startswith("shared:")), "")
    return Mount(int(fields[0]), int(fields[1]), fields[2], _unescape(root), _unescape(fields[4]), group)


def sought(device: str, root: str) -> str:
    """Return what stands in a table that has a directory, or one below it."""
    return f" {device} {_escape(root)}" if root.startswith("/") else f" {_escape(root)}"


def lines_at(table: str, path: str) -> list[str]:
    """Return the lines of what is mounted at a place."""
    place = f" {_escape(path)} "
    return [line for line in table.split("\n") if place in line]


def describe(line: str) -> str:
    """Return source, file system and options, for people."""
    kind, source, options = line.partition(" - ")[2].split(" ")[:3]
    return f"{_unescape(source)} {kind} ({redact(options)})"


def find_remote(table: str, path: str) -> tuple[str, str] | None:
    """Return the device, and the path on it, of a directory on a server's file system; None for any other.

    Told by the letters of its path alone: to open it could take for ever.
    """
    if " - nfs" not in table:
        return None
    below = None
    for line in table.splitlines():
        mount = parse_line(line)
        inside = f"{path}/".startswith(mount.mountpoint.rstrip("/") + "/")
        if inside and (below is None or len(mount.mountpoint) >= len(below[0].mountpoint)):
            below = (mount, " - nfs" in line)
    if below is None or not below[1]:
        return None
    mount = below[0]
    inner = path.removeprefix(mount.mountpoint.rstrip("/")).strip("/")
    return mount.device, f"{mount.root.rstrip('/')}/{inner}" if inner else mount.root


def origin(mount: Mount, mounts: Sequence[Mount]) -> tuple[str, str, str, str]:
    """Return what is mounted, and on which directory, both by device and path on it.

    That is the same of a mount that came along into another namespace, wherever that has it.
    """
    above = next((other for other in mounts if other.mount_id == mount.parent_id), None)
    if above is None:  # outside of what the namespace shows; no other is like that
        return mount.device, mount.root, "", f"{mount.mount_id} {mount.mountpoint}"
    below = os.path.relpath(mount.mountpoint, above.mountpoint)
    return mount.device, mount.root, above.device, os.path.normpath(os.path.join(above.root, below))


def at_root(mounts: Sequence[Mount]) -> tuple[str, str] | None:
    """Return device and root of what a namespace has at ``/``; the last one mounted there is the one that is seen."""
    return next(((mount.device, mount.root) for mount in reversed(mounts) if mount.mountpoint == "/"), None)


def places_of(top: tuple[str, str] | None, mounts: Sequence[Mount]) -> list[str]:
    """Return where a namespace shows the root of another one; without a slash at the end, so that a path can follow."""
    places = [mount.mountpoint for mount in mounts if (mount.device, mount.root) == top and mount.mountpoint != "/"]
    return [*places, ""] if top is not None and at_root(mounts) == top else places


def mounts_of(device: str, root: str, mounts: Sequence[Mount]) -> Iterator[Mount]:
    """Yield those of a directory, or of one below it."""
    below = root.rstrip("/") + "/"
    return (mount for mount in mounts if mount.device == device and f"{mount.root}/".startswith(below))


def _escape(path: str) -> str:
    """Return the path as the kernel writes it into mountinfo."""
    return SPECIAL.sub(lambda match: f"\\{ord(match[0]):03o}", path)


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    return ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
