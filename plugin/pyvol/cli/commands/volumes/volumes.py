"""`pyvol ls`, `inspect`, `set` and `claims`."""

from collections.abc import Sequence

import click
from rich.text import Text

from pyvol.api.messages import VolumeInfo
from pyvol.cli.commands.daemon.completion import complete_volume
from pyvol.cli.exit_codes import find_each, tell
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
                    *(ago(v.created), size_cell(v.usage), _options(v)),
                )
                for v in volumes
            ],
            "No volume is like that." if known else "No volumes yet: `docker volume create -d pyvol NAME` makes one.",
        )


@click.command("inspect", short_help="Show one volume, or several.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_volume)
@socket_option
@json_option
def inspect_(names: tuple[str, ...], client: Client, *, as_json: bool) -> None:
    """Show all that pyvol knows of volumes.

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
            _show(volume)
    tell(missing)


@click.command("set", short_help="Change options and labels of a volume.")
@click.argument("name", shell_complete=complete_volume)
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="Set a label; can be repeated.")
@click.option("--label-rm", "dropped", multiple=True, metavar="KEY", help="Take a label away; can be repeated.")
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
    """Change options of a volume that exists: uid, gid, mode, on_remove, protect; or its labels.

    Ownership takes effect at the next mount. uid, gid and mode without a value are as the image has them. All other
    options are for life. Labels are pyvol's own: Docker keeps to itself those that it was given, and changes none.

    \b
    Examples:
      pyvol set data protect=false
      pyvol set data uid=1000 gid=1000
      pyvol set data mode=
      pyvol set data --label backup=daily --label-rm project
    """
    if not (options or labels or dropped):
        raise click.UsageError("Nothing to change: name an option as KEY=VALUE, or --label KEY=VALUE.")
    pairs = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals:
            raise click.BadArgumentUsage(f"{option!r} is no KEY=VALUE, such as protect=false.")
        pairs[key] = text
    volume = client.set(name, pairs, _labels(labels, dropped))
    if as_json:
        show_json(volume)
    else:
        _show(volume)


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
    claims = client.claims()
    if as_json:
        show_json(claims)
        return
    show_table(
        ("VOLUME", "MOUNT ID", "COUNT", "SINCE", "STATE", "HOST"),
        [
            (
                c.volume,
                c.mount_id[:12],
                str(c.count),
                ago(c.since),
                Text("stale", "yellow") if c.stale else Text("current"),
                c.host or "this one",
            )
            for c in claims
        ],
        "No claims: no engine has a volume mounted.",
    )


def _labels(labels: Sequence[str], dropped: Sequence[str]) -> dict[str, str | None]:
    given = {key: text for key, _, text in (label.partition("=") for label in labels)}
    return {**dict.fromkeys(dropped), **given}


def _options(volume: VolumeInfo) -> str:
    return " ".join(f"{key}={text}" for key, text in volume.options.items())


def _show(volume: VolumeInfo) -> None:
    show_table(
        ("NAME", volume.name),
        [
            ("pool", volume.pool),
            ("mountpoint", volume.mountpoint),
            ("options", _options(volume) or "none"),
            ("labels", " ".join(f"{key}={text}" for key, text in volume.labels.items()) or "none"),
            ("created", f"{volume.created:%Y-%m-%d %H:%M:%S} UTC ({ago(volume.created)})"),
            ("claims", str(volume.claims)),
            ("size", size_cell(volume.usage)),
            ("health", health_cell(volume.health)),
            ("removing", volume.on_remove),
            ("id", volume.id),
        ],
        "",
    )
