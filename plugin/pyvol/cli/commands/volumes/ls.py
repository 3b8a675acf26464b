"""`pyvol ls`: list the volumes."""

import click

from pyvol.cli.commands.volumes.inspect import options_text
from pyvol.cli.filters import Filter, all_take, filter_option
from pyvol.cli.options import json_option, socket_option
from pyvol.cli.table import ago, health_cell, show_json, show_table, size_cell
from pyvol.client.pyvol_api import Client

HEALTH_WIDTH = 60
"""An error is a whole sentence; `pyvol inspect` shows all of it."""


@click.command("ls", short_help="List the volumes.")
@socket_option
@json_option
@filter_option
@click.option("-q", "--quiet", is_flag=True, help="Print names alone.")
def ls_(client: Client, filters: list[Filter], *, as_json: bool, quiet: bool) -> None:
    """List the volumes, with their claims and their health.

    Labels are those of `pyvol set --label`; those of Docker's are known to Docker alone.

    \b
    Examples:
      pyvol ls
      pyvol ls -q --filter 'name=shop_*'
      pyvol ls --filter label=backup=daily
      pyvol ls --json | jq '.[] | select(.claims == 0) | .name'
    """
    known = client.volumes()
    volumes = [volume for volume in known if all_take(filters, volume)]
    if as_json:
        show_json(volumes)
    elif quiet:
        click.echo("".join(f"{volume.name}\n" for volume in volumes), nl=False)
    else:
        show_table(
            ("NAME", "POOL", "CLAIMS", "HEALTH", "CREATED", "SIZE", "OPTIONS"),
            [
                (
                    *(v.name, v.pool, str(v.claims), health_cell(v.health, HEALTH_WIDTH)),
                    *(ago(v.created), size_cell(v.usage), options_text(v)),
                )
                for v in volumes
            ],
            "No volume is like that." if known else "No volumes yet: `docker volume create -d pyvol NAME` makes one.",
        )
