"""`pyvol inspect`: show everything that pyvol knows about volumes."""

import click

from pyvol.api.v1.schema.volumes import VolumeInfo
from pyvol.cli.exit_codes import find_each, raise_all
from pyvol.cli.options import json_option, socket_option
from pyvol.cli.table import ago, health_cell, show_json, show_table, size_cell
from pyvol.cli.volume_names import complete_volume
from pyvol.client.pyvol_api import Client


@click.command("inspect", short_help="Show everything about volumes.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_volume)
@socket_option
@json_option
def inspect_(names: tuple[str, ...], client: Client, *, as_json: bool) -> None:
    """Show everything that pyvol knows about volumes.

    \b
    Examples:
      pyvol inspect data
      pyvol inspect data --json
    """
    volumes, missing = find_each(client, names)
    if as_json:
        show_json(volumes)
    else:
        for volume in volumes:
            show_volume(volume)
    raise_all(missing)


def show_volume(volume: VolumeInfo) -> None:
    """Print a volume as a table, one line for each fact."""
    show_table(
        ("NAME", volume.name),
        [
            ("pool", volume.pool),
            ("mountpoint", volume.mountpoint),
            ("options", options_text(volume) or "none"),
            ("labels", " ".join(f"{key}={text}" for key, text in volume.labels.items()) or "none"),
            ("created", f"{volume.created:%Y-%m-%d %H:%M:%S} UTC ({ago(volume.created)})"),
            ("claims", str(volume.claims)),
            ("size", size_cell(volume.usage) if volume.usage else "not counted yet"),
            ("health", health_cell(volume.health)),
            ("removing", volume.on_remove),
            ("id", volume.id),
        ],
        "",
    )


def options_text(volume: VolumeInfo) -> str:
    """Return the options of a volume as `KEY=VALUE KEY=VALUE`."""
    return " ".join(f"{key}={text}" for key, text in volume.options.items())
