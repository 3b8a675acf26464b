"""`pyvol rename`: rename a volume."""

import click

from pyvol.cli.options import json_option, socket_option
from pyvol.cli.table import show_json
from pyvol.cli.volume_names import complete_volume
from pyvol.client.pyvol_api import Client


@click.command("rename", short_help="Rename a volume.")
@click.argument("name", shell_complete=complete_volume)
@click.argument("new_name", metavar="NEW_NAME")
@socket_option
@json_option
def rename_(name: str, new_name: str, client: Client, *, as_json: bool) -> None:
    """Rename a volume; its data, options and age stay.

    Using the old name returns an error that gives the new one.

    Refused while an engine has the volume mounted. The old name is free again when the volume is removed.

    \b
    Examples:
      pyvol rename data data-of-2025
    """
    volume = client.rename(name, new_name)
    if as_json:
        show_json(volume)
    else:
        click.echo(f"{name} is now {volume.name}, at {volume.mountpoint}")
