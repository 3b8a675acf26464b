"""`pyvol claims`: list the mounts that engines hold."""

import click

from pyvol.cli.options import json_option, socket_option
from pyvol.cli.table import Styled, ago, show_json, show_table
from pyvol.client.pyvol_api import Client


@click.command("claims", short_help="List the mounts that engines hold.")
@socket_option
@json_option
def claims_(client: Client, *, as_json: bool) -> None:
    """List the claims: the mounts of volumes that engines have not released yet.

    For NFS pools also on other hosts.

    A stale claim is from before the engine's last restart. Its container still runs, or is gone. A stale
    claim does not prevent a removal: pyvol asks the kernel whether a container uses the volume.

    \b
    Examples:
      pyvol claims
      pyvol claims --json
    """
    known = client.claims()
    if as_json:
        show_json(known)
        return
    show_table(
        ("VOLUME", "MOUNT ID", "COUNT", "SINCE", "STATE", "HOST"),
        [
            (
                c.volume,
                c.mount_id[:12],
                str(c.count),
                ago(c.since),
                Styled("stale", "yellow") if c.stale else "current",
                c.host or "this one",
            )
            for c in known.claims
        ],
        "No claims are known." if known.not_asked else "No claims: no engine has a volume mounted.",
    )
    for pool in known.not_asked:
        click.echo(f"The claims of other hosts in pool {pool.pool!r} are not known: {pool.reason}", err=True)
