"""Parse and search the text of mountinfo, see proc_pid_mountinfo(5). Does no I/O."""

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
        parent_id: the mount with the directory on which this one is mounted.
        device: ``major:minor`` of the file system.
        root: the directory of the file system that is mounted. For NFS, whose root is always ``/`` in
            mountinfo, the source; for a bind of NFS, that is the directory on the server.
        mountpoint: where it is mounted, as its namespace sees it.
        group: the peer group with which it shares mounts below it; empty for none.
    """

    mount_id: int
    parent_id: int
    device: str
    root: str
    mountpoint: str
    group: str


def parse(table: str) -> list[Mount]:
    """Return the mounts of a namespace, the oldest first."""
    return [parse_line(line) for line in table.split("\n") if line]


def parse_line(line: str) -> Mount:
    """Return the mount of a line."""
    fields = line.split(" ")
    root = fields[3]
    if " - nfs" in line:
        root = line.partition(" - ")[2].split(" ")[1]
    group = next((field for field in fields[6 : fields.index("-")] if field.startswith("shared:")), "")
    return Mount(int(fields[0]), int(fields[1]), fields[2], _unescape(root), _unescape(fields[4]), group)


def sought(device: str, root: str) -> str:
    """Return a text that each table with a mount of a directory, or of one below it, contains."""
    return f" {device} {_escape(root)}" if root.startswith("/") else f" {_escape(root)}"


def lines_at(table: str, path: str) -> list[str]:
    """Return the lines of the mounts at a path."""
    place = f" {_escape(path)} "
    return [line for line in table.split("\n") if place in line]


def has_below(table: str, path: str) -> bool:
    """Return whether a table may have a mountpoint below a directory; False is certain, and quick."""
    return f" {_escape(path)}/" in table


def describe(line: str) -> str:
    """Return source, file system and options of a line, as text for people."""
    kind, source, options = line.partition(" - ")[2].split(" ")[:3]
    return f"{_unescape(source)} {kind} ({redact(options)})"


def find_remote(table: str, path: str) -> tuple[str, str] | None:
    """Return the device of a directory on a remote file system, and its path there.

    Return None for a local directory.

    Compares only paths: opening the directory could block forever.
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
    """Return what is mounted, and on which directory, each as a device and a path on it.

    The result is the same for a copy of the mount in another namespace, at whatever path that namespace has
    it.
    """
    above = next((other for other in mounts if other.mount_id == mount.parent_id), None)
    if above is None:  # the parent is outside the namespace: equal to no other mount
        return mount.device, mount.root, "", f"{mount.mount_id} {mount.mountpoint}"
    below = os.path.relpath(mount.mountpoint, above.mountpoint)
    return mount.device, mount.root, above.device, os.path.normpath(os.path.join(above.root, below))


def at_root(mounts: Sequence[Mount]) -> tuple[str, str] | None:
    """Return device and root of the last mount at ``/`` of a namespace, which is the visible one."""
    return next(((mount.device, mount.root) for mount in reversed(mounts) if mount.mountpoint == "/"), None)


def places_of(top: tuple[str, str] | None, mounts: Sequence[Mount]) -> list[str]:
    """Return where a namespace has the root of another namespace mounted, without a slash at the end."""
    places = [mount.mountpoint for mount in mounts if (mount.device, mount.root) == top and mount.mountpoint != "/"]
    return [*places, ""] if top is not None and at_root(mounts) == top else places


def mounts_of(device: str, root: str, mounts: Sequence[Mount]) -> Iterator[Mount]:
    """Yield the mounts of a directory, or of one below it."""
    below = root.rstrip("/") + "/"
    return (mount for mount in mounts if mount.device == device and f"{mount.root}/".startswith(below))


def _escape(path: str) -> str:
    """Return the path as the kernel writes it into mountinfo."""
    return SPECIAL.sub(lambda match: f"\\{ord(match[0]):03o}", path)


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    return ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
