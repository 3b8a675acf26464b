"""`pyvol ls`: list volumes."""

import click

from pyvol.cli.commands.volumes.inspect import options_text
from pyvol.cli.filters import Filter, all_match, filter_option
from pyvol.cli.options import json_option, socket_option
from pyvol.cli.table import ago, health_cell, show_json, show_table, size_cell
from pyvol.client.pyvol_api import Client

HEALTH_WIDTH = 60
"""Longer errors are cut; `pyvol inspect` shows the whole sentence."""


@click.command("ls", short_help="List volumes.")
@socket_option
@json_option
@filter_option
@click.option("-q", "--quiet", is_flag=True, help="Print only the names.")
def ls_(client: Client, filters: list[Filter], *, as_json: bool, quiet: bool) -> None:
    """List volumes, with their claims, health, age and size.

    --filter label looks at the labels of `pyvol set --label`. Docker does not show its own labels to a
    plugin.

    \b
    Examples:
      pyvol ls
      pyvol ls -q --filter 'name=shop_*'
      pyvol ls --filter label=backup=daily
      pyvol ls --json | jq '.[] | select(.claims == 0) | .name'
    """
    known = client.volumes()
    volumes = [volume for volume in known if all_match(filters, volume)]
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
            "No volume matches." if known else "No volumes yet: create one with `docker volume create -d pyvol NAME`.",
        )
