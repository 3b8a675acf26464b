"""`pyvol prune`: move volumes that nothing refers to into the trash."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from pyvol.api.v1.schema.volumes import VolumeInfo
from pyvol.cli.exit_codes import raise_all
from pyvol.cli.filters import Filter, all_match, filter_option
from pyvol.cli.options import engine_option, json_option, socket_option
from pyvol.cli.table import ago, show_json, show_table, size_cell
from pyvol.client.docker_api import Engine
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import EngineUnreachable, PyvolError
from pyvol.core.model import units


class Pruned(msgspec.Struct):
    """The output of `--json`: the volumes that nothing refers to, those moved, and the errors."""

    volumes: list[VolumeInfo]
    moved: list[str]
    failed: list[str]


def _duration(_: click.Context, __: click.Parameter, text: str) -> timedelta:
    try:
        return units.parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("prune", short_help="Move volumes that no container refers to into the trash.")
@click.option("-f", "--force", is_flag=True, help="Move them. Without --force they are only listed.")
@click.option(
    "--older-than",
    callback=_duration,
    default="0s",
    metavar="SPAN",
    help="Only volumes created longer ago than this, such as 30d.",
)
@filter_option
@engine_option
@socket_option
@json_option
def prune_(  # noqa: PLR0913  # one argument an option
    client: Client, engine: Path, filters: list[Filter], older_than: timedelta, *, force: bool, as_json: bool
) -> None:
    """Move volumes that no container refers to, running or not, into the trash.

    Lists them unless --force is given.

    pyvol asks the engine for its containers and services; if the engine does not answer, nothing is done.
    Protected volumes are left out, and volumes that other hosts share: no single engine knows all containers
    that use them.

    \b
    Examples:
      pyvol prune
      pyvol prune --older-than 30d --filter 'name=test-*'
      pyvol prune --filter label=com.docker.compose.project=shop --force
    """
    latest = datetime.now(UTC) - older_than
    chosen = [
        volume
        for volume, labels in _unreferenced(client, engine)
        if volume.created <= latest and all_match(filters, volume, labels)
    ]
    wrong: list[PyvolError] = []
    moved = list(_move(client, chosen, wrong)) if force else []
    pruned = Pruned(chosen, moved, [str(error) for error in wrong])
    if as_json:
        show_json(pruned)
    else:
        _show(pruned, force=force)
    raise_all(wrong)


def _unreferenced(client: Client, socket: Path) -> Iterator[tuple[VolumeInfo, Mapping[str, str]]]:
    """Yield the volumes that may be removed, each with the labels that the engine has for it."""
    volumes = client.volumes()  # before the engine is asked: a volume created from now on is left out
    with Engine(socket) as engine:
        listed = {volume.name: volume for volume in engine.volumes()}
        references = engine.references()
    if volumes and not any(volume.name in listed for volume in volumes):
        raise EngineUnreachable(
            f"the engine at {socket} lists no volume of this pyvol, so it does not know what refers to them",
            "name the engine that uses it with --engine",
        )
    for volume in volumes:
        may_go = not volume.refusal and not volume.shared and not references.to(volume.name, volume.mountpoint)
        if volume.name in listed and may_go:
            yield volume, listed[volume.name].labels or {}


def _move(client: Client, chosen: Sequence[VolumeInfo], wrong: list[PyvolError]) -> Iterator[str]:
    """Yield the names of the volumes that were moved, and add the errors of the others to `wrong`."""
    for volume in chosen:
        try:
            client.move_to_trash(volume.name)
        except PyvolError as error:
            wrong.append(error)
        else:
            yield volume.name


def _show(pruned: Pruned, *, force: bool) -> None:
    rows: Sequence[tuple[str, ...]] = [(v.name, v.pool, ago(v.created), size_cell(v.usage)) for v in pruned.volumes]
    show_table(("NAME", "POOL", "CREATED", "SIZE"), rows, "Nothing to prune.")
    if pruned.volumes and not force:
        click.echo(
            f"\n{len(rows)} would be moved to the trash: run `pyvol prune --force` with the same options.", err=True
        )
    elif pruned.moved:
        click.echo(f"\n{len(pruned.moved)} moved to the trash: `pyvol undelete NAME` restores one.", err=True)
