"""Parts of hints that depend on how pyvol is installed: as a daemon or as a managed plugin."""

from typing import NamedTuple


class Hints(NamedTuple):
    """What a user has to do, for one way to install pyvol.

    Attributes:
        restart: to restart it.
        pool_back: to put pools back into its settings.
        sight: to let it see the host's processes.
        privileges: to let it read the mounts of all processes.
    """

    restart: str
    pool_back: str
    sight: str
    privileges: str


DAEMON = Hints(
    restart="restart pyvol",
    pool_back="put them back into pyvol.toml and restart pyvol",
    sight="give pyvol the host's process namespace",
    privileges="give pyvol CAP_SYS_PTRACE and the host's process namespace",
)
PLUGIN = Hints(
    restart="`docker plugin disable -f` and `docker plugin enable` the plugin",
    pool_back="give it PYVOL_NFS_EXPORT again: `docker plugin disable -f`, `docker plugin set`, `docker plugin enable`",
    sight='create the plugin again with "pidhost": true in config.json, for the host\'s process namespace',
    privileges='create the plugin again with CAP_SYS_PTRACE and "pidhost": true in config.json',
)
