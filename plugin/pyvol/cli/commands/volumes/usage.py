"""`pyvol usage`: the disk usage of volumes."""

import click

from pyvol.api.v1.schema.usage import UsageInfo
from pyvol.api.v1.schema.volumes import VolumeInfo
from pyvol.cli.exit_codes import find_each, raise_all
from pyvol.cli.options import json_option, socket_option
from pyvol.cli.progress import await_job
from pyvol.cli.table import ago, show_json, show_table
from pyvol.cli.volume_names import complete_volume
from pyvol.client.pyvol_api import Client
from pyvol.core.model.units import format_bytes


@click.command("usage", short_help="Show the disk space of volumes.")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_volume)
@click.option("--now", is_flag=True, help="Count the volumes first.")
@socket_option
@json_option
def usage_(client: Client, names: tuple[str, ...], *, now: bool, as_json: bool) -> None:
    """Show the disk usage of volumes: the last count and its age. The biggest volume comes first.

    pyvol counts blocks: holes in files do not count, and a file with several names counts once. With --now it
    counts as fast as it can, and shows how far it is. Ctrl-C does not stop that: `pyvol jobs` lists it.

    \b
    Examples:
      pyvol usage
      pyvol usage data --now
      pyvol usage --json | jq '.[] | {name, bytes: .usage.bytes}'
    """
    found, missing = find_each(client, names)
    if now and (found or not names):
        await_job(client, client.count([volume.name for volume in found]), dict[str, UsageInfo | None])
        found = find_each(client, [volume.name for volume in found])[0]
    volumes = found if names else client.volumes()
    volumes.sort(key=lambda volume: -(volume.usage.bytes if volume.usage else -1))
    if as_json:
        show_json(volumes)
    elif volumes or not names:
        show_table(("NAME", "SIZE", "FILES", "COUNTED", "INCOMPLETE"), [_row(v) for v in volumes], "No volumes yet.")
    raise_all(missing)


def _row(volume: VolumeInfo) -> tuple[str, ...]:
    if volume.usage is None:
        return (volume.name, "?", "?", "not yet", "")
    usage = volume.usage
    return (volume.name, format_bytes(usage.bytes), str(usage.files), ago(usage.counted), usage.problem)
