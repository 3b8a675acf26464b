"""What a daemon leaves if it is killed while it mounts something: empty directories, and temporary mounts."""

import os
from contextlib import suppress

from pyvol.core.errors import StorageFailed
from pyvol.core.model import mount_spec
from pyvol.core.ports.host import Log
from pyvol.host.mounts.mount import MNT_DETACH
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.remote.mount_messages import Unmount
from pyvol.storage.remote.servers import Servers

PASSING = "."
"""How the names of temporary mounts begin; no volume's name does."""


def passing(target: str) -> str:
    """Return the place of a temporary mount, beside the mount that it is for."""
    return os.path.join(os.path.dirname(target), f"{PASSING}{os.path.basename(target)}")


def clear(directory: str, servers: Servers, mounts: KernelMounts, log: Log) -> None:
    """Delete what is left in a directory of mountpoints, at a start.

    What is mounted under a volume's name stays.
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("mounts of an earlier pyvol not looked for", path=directory, error=str(error))
        return
    mounted = {mount.mountpoint: mount.root for mount in mounts.read("self")}
    for name in names:
        path = f"{directory}/{name}"
        if path in mounted:
            if not name.startswith(PASSING):
                continue
            host = mounted[path].partition(":/")[0].strip("[]")
            try:
                # By a worker: the kernel may call the server.
                servers.at(host, mount_spec.NFS_PORT).force(Unmount(path, MNT_DETACH), bool)
            except StorageFailed as error:
                log.warning("mount of an earlier pyvol not unmounted", path=path, error=str(error))
                continue
        with suppress(OSError):  # the next mount uses it
            os.rmdir(path)
