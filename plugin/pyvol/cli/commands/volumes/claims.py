"""`pyvol claims`: list what engines have mounted."""

import click

from pyvol.cli.options import json_option, socket_option
from pyvol.cli.table import Styled, ago, show_json, show_table
from pyvol.client.pyvol_api import Client


@click.command("claims", short_help="List what engines have mounted.")
@socket_option
@json_option
def claims_(client: Client, *, as_json: bool) -> None:
    """List the claims: outstanding Mounts of a volume under an engine's mount ID.

    A stale claim was made in an earlier life of the engine: by a container that outlived it, or by one that is gone.
    It keeps nothing from being removed; what a container really uses, the kernel says.

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
