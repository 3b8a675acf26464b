"""`pyvol set`: change options and labels of a volume."""

from collections.abc import Sequence

import click

from pyvol.cli.commands.volumes.inspect import show_volume
from pyvol.cli.options import json_option, socket_option
from pyvol.cli.table import show_json
from pyvol.cli.volume_names import complete_volume
from pyvol.client.pyvol_api import Client


@click.command("set", short_help="Change options and labels of a volume.")
@click.argument("name", shell_complete=complete_volume)
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="Set a label; can be repeated.")
@click.option("--label-rm", "dropped", multiple=True, metavar="KEY", help="Remove a label; can be repeated.")
@socket_option
@json_option
def set_(  # noqa: PLR0913  # one argument an option
    name: str,
    options: tuple[str, ...],
    labels: tuple[str, ...],
    dropped: tuple[str, ...],
    client: Client,
    *,
    as_json: bool,
) -> None:
    """Change options of an existing volume: uid, gid, mode, on_remove, protect; or its labels.

    uid, gid and mode take effect at the next mount; without a value they are as in the image. Other options
    cannot be changed. Labels belong to pyvol: Docker has its own labels, and cannot change them.

    \b
    Examples:
      pyvol set data protect=false
      pyvol set data uid=1000 gid=1000
      pyvol set data mode=
      pyvol set data --label backup=daily --label-rm project
    """
    if not (options or labels or dropped):
        raise click.UsageError("Nothing to change: give an option as KEY=VALUE, or --label KEY=VALUE.")
    pairs = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals:
            raise click.BadArgumentUsage(f"invalid option {option!r}: use KEY=VALUE, such as protect=false.")
        pairs[key] = text
    volume = client.set(name, pairs, _labels(labels, dropped))
    if as_json:
        show_json(volume)
    else:
        show_volume(volume)


def _labels(labels: Sequence[str], dropped: Sequence[str]) -> dict[str, str | None]:
    given = {key: text for key, _, text in (label.partition("=") for label in labels)}
    return {**dict.fromkeys(dropped), **given}
