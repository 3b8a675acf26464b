"""Start pyvol with a pool on an export."""

from pathlib import Path

from nfs.daemon import Daemon
from nfs.hosts import Host

POOL = '[pools.nas]\nkind = "nfs"\nexport = "nas.lan:/export/{}"\noptions = "{}"\n'


def start(host: Host, root: Path, export: str = "main", options: str = "") -> Daemon:
    """Start pyvol on a host, with the pool `nas` and a local pool."""
    daemon = Daemon(host, root)
    daemon.configure(POOL.format(export, options))
    daemon.start()
    return daemon
