"""What is told to who has to mend something, in the words of how this pyvol is run."""

from typing import NamedTuple


class Advice(NamedTuple):
    """How one way to run pyvol calls what a user does to it.

    Attributes:
        restart: starting it anew.
        pool_back: giving it back pools that have left its settings.
        sight: letting it see who uses a volume.
        privileges: where it has the capabilities for that from.
    """

    restart: str
    pool_back: str
    sight: str
    privileges: str


DAEMON = Advice(
    restart="restart pyvol",
    pool_back="put them back into pyvol.toml and restart pyvol",
    sight="give pyvol the host's process namespace",
    privileges="give pyvol CAP_SYS_PTRACE and the host's process namespace",
)
PLUGIN = Advice(
    restart="`docker plugin disable -f` and `docker plugin enable` the plugin",
    pool_back="give it PYVOL_NFS_EXPORT again: `docker plugin disable -f`, `docker plugin set`, `docker plugin enable`",
    sight='make the plugin anew with "pidhost": true in config.json, for the host\'s process namespace',
    privileges='make the plugin anew with CAP_SYS_PTRACE and "pidhost": true in config.json',
)
