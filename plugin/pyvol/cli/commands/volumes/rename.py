"""`pyvol rename`: another name for a volume."""

import click

from pyvol.cli.options import json_option, socket_option
from pyvol.cli.table import show_json
from pyvol.cli.volume_names import complete_volume
from pyvol.client.pyvol_api import Client


@click.command("rename", short_help="Give a volume another name.")
@click.argument("name", shell_complete=complete_volume)
@click.argument("new_name", metavar="NEW_NAME")
@socket_option
@json_option
def rename_(name: str, new_name: str, client: Client, *, as_json: bool) -> None:
    """Give a volume another name; its data, options and trash stay as they are.

    Refused while an engine has it mounted. Containers and Compose files that still say the old name get an error that
    says the new one, until the volume is removed.

    \b
    Examples:
      pyvol rename data data-of-2025
    """
    volume = client.rename(name, new_name)
    if as_json:
        show_json(volume)
    else:
        click.echo(f"{name} is {volume.name} now, at {volume.mountpoint}")
