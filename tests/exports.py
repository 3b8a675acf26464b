"""Exports without NFS: mount(8) binds a directory of this host, and refuses as mount.nfs does."""

from pathlib import Path

import pytest

from nullserver import NullServer
from pyvol.host.mounts.mount import MNT_DETACH, unmount
from pyvol.host.mounts.table import KernelMounts
from shares import WatchedServer, WorkersHere

PROGRAM = """#!/bin/sh
# Like mount(8), for: mount -t nfs -o OPTIONS -- HOST:PATH TARGET
if [ "$1 $2" != "-t nfs" ]; then exec /bin/mount "$@"; fi
shift 2
options=$2
source=$4
target=$5
echo "$options $source" >> {root}/asked
if [ -e {root}/refused ]; then
    cat {root}/refused >&2
    exit 32
fi
if [ ! -d "{root}/exported${{source##*:}}" ]; then
    echo "mount.nfs: mounting $source failed, reason given by server: No such file or directory" >&2
    if [ -e {root}/next ]; then mv {root}/next {root}/refused; fi
    exit 32
fi
/bin/mount --bind "{root}/exported${{source##*:}}" "$target" || exit
if [ -e {root}/read-only ]; then /bin/mount -o remount,bind,ro "$target"; fi
"""


class Exports:
    """A server with one tree of directories, each of which can be mounted.

    Args:
        root: an empty directory.
        patch: replaces mount(8) by the program.

    Attributes:
        exported: the tree.
        server: the server as pyvol has it.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self._root = root
        self.exported = root / "exported"
        self.exported.mkdir(parents=True)
        program = root / "bin/mount"
        program.parent.mkdir()
        program.write_text(PROGRAM.format(root=root))
        program.chmod(0o755)
        patch.setenv("PATH", str(program.parent), prepend=":")
        self.nas = NullServer()
        self.server = WatchedServer(self.nas.port, WorkersHere())

    def at(self, _: str, __: int | None) -> WatchedServer:
        """See `pyvol.storage.remote.servers.Servers`."""
        return self.server

    def asked(self) -> list[WatchedServer]:
        """See `pyvol.storage.remote.servers.Servers`."""
        return [self.server]

    def refuse(self, message: str, *, later: bool = False) -> None:
        """Refuse each mount from now on, or after the first mount of a path that is missing."""
        (self._root / ("next" if later else "refused")).write_text(message)

    def make_read_only(self) -> None:
        """Make each mount from now on read-only."""
        (self._root / "read-only").touch()

    def calls(self) -> list[str]:
        """Return the options and the source of each mount that was asked for."""
        return (self._root / "asked").read_text().splitlines()

    def close(self) -> None:
        """End the server, and unmount what is mounted below the directory."""
        self.nas.stop()
        self.server.stop()
        for mount in reversed(KernelMounts().read("self")):
            if mount.mountpoint.startswith(f"{self._root.parent}/"):
                unmount(mount.mountpoint, MNT_DETACH)
