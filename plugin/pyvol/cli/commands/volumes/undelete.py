"""`pyvol undelete`: restore a removed volume from the trash."""

import click

from pyvol.cli.options import json_option, socket_option
from pyvol.cli.table import show_json
from pyvol.cli.volume_names import complete_removed
from pyvol.client.pyvol_api import Client


@click.command("undelete", short_help="Restore a removed volume.")
@click.argument("name", metavar="NAME|ID", shell_complete=complete_removed)
@click.option(
    "--as", "new_name", metavar="NAME", help="Restore it under this name, for example if its own name is taken."
)
@socket_option
@json_option
def undelete_(name: str, new_name: str | None, client: Client, *, as_json: bool) -> None:
    """Restore the latest removed volume with a name, or the one with an id from `pyvol trash ls`.

    \b
    Examples:
      pyvol undelete data
      pyvol undelete data --as data-of-yesterday
    """
    volume = client.undelete(name, new_name)
    if as_json:
        show_json(volume)
    else:
        click.echo(f"{volume.name} is restored, at {volume.mountpoint}")
        if volume.health != "ok":
            click.echo(f"It cannot be used yet: {volume.health}", err=True)
