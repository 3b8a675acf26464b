"""`pyvol diff`: where a Compose file and the volumes that exist differ."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import msgspec

from pyvol.cli.options import engine_option, json_option, socket_option
from pyvol.cli.sockets import plugin_id
from pyvol.cli.table import show_json, show_table
from pyvol.client.compose import FileVolume, read_config, resolve
from pyvol.client.docker_api import Engine
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import BadRequest
from pyvol.core.model.options import Difference
from pyvol.core.model.text import escape_control_chars
from pyvol.core.model.volume import NAME
from pyvol.core.status.compare import Comparison

STDIN = "-"
NOT_SET = "not set"


class Row(msgspec.Struct):
    """A difference, as `--json` prints it; null: there is none.

    Attributes:
        volume: what the engine calls it.
        option: the option's name, or `name` and `driver` for what stands beside `driver_opts`.
        file: what the file says.
        pyvol: what holds.
        do: what makes them equal.
    """

    volume: str
    option: str
    file: str | None
    pyvol: str | None
    do: str


@click.command("diff", short_help="Show where a Compose file and the volumes that exist differ.")
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(allow_dash=True))
@click.option("-p", "--project-name", "project", metavar="NAME", help="The project's name, where it is not the file's.")
@engine_option
@socket_option
@json_option
def diff_(client: Client, files: tuple[str, ...], project: str | None, engine: Path, *, as_json: bool) -> None:
    """Show where the volumes of a Compose file and those that exist differ: Docker ignores options that were changed.

    Compose itself reads the files, as `docker compose --file FILE...` would, or those of this directory. With - what
    `docker compose config --format json` printed is read from standard input. Exit code 1 where something differs.

    \b
    Examples:
      pyvol diff
      pyvol diff compose.yaml compose.prod.yaml
      docker compose --env-file prod.env config --format json | pyvol diff -
    """
    asked = _read(files, project)
    rows = list(_compare(client, asked, engine))
    if as_json:
        show_json(rows)
    else:
        show_table(
            ("VOLUME", "OPTION", "IN THE FILE", "IN PYVOL", "WHAT TO DO"),
            [(row.volume, row.option, _cell(row.file), _cell(row.pyvol), row.do) for row in rows],
            "No differences.",
        )
    if rows:
        sys.exit(1)


def _read(files: tuple[str, ...], project: str | None) -> Mapping[str, FileVolume]:
    if STDIN in files:
        if len(files) > 1 or project is not None:
            raise BadRequest("- goes alone: what comes in is resolved already")
        return read_config(sys.stdin.buffer.read())
    output, warnings = resolve(files, project)
    click.echo(escape_control_chars(warnings), err=True, nl=False)
    return read_config(output)


def _compare(client: Client, asked: Mapping[str, FileVolume], engine: Path) -> Iterator[Row]:
    driver = _driver(client.socket, engine)
    for key, volume in asked.items():
        is_ours = _tagged(volume.driver) == _tagged(driver)
        if not NAME.fullmatch(volume.name):
            if is_ours:
                yield Row(volume.name, "name", volume.name, None, "choose another name: pyvol does not take this one")
            continue
        found = client.compare(volume.name, volume.driver_opts if is_ours else None)
        if found.exists or found.now or is_ours:
            yield from _rows(key, volume, found, driver, is_ours=is_ours)


def _rows(key: str, volume: FileVolume, found: Comparison, driver: str, *, is_ours: bool) -> Iterator[Row]:
    if found.now:
        do = f"write `name: {found.now}` below `{key}:`, or `pyvol rename {found.now} {volume.name}`"
        yield Row(volume.name, "name", volume.name, found.now, do)
    elif not found.exists:
        yield Row(volume.name, "name", volume.name, None, "`docker compose up` makes it")
    elif not is_ours and not volume.external:
        yield Row(volume.name, "driver", volume.driver or "local", driver, f"write `driver: {driver}` below `{key}:`")
    if found.trouble:
        yield Row(volume.name, "driver_opts", None, None, f"correct the file: {found.trouble}")
    for difference in found.differences:
        yield Row(volume.name, difference.option, difference.asked, difference.held, _mend(volume.name, difference))


def _mend(name: str, difference: Difference) -> str:
    if difference.mutable:
        return f"pyvol set {name} {difference.option}={difference.asked or ''}"
    return "for life: correct the file; or make the volume anew, and copy the data"


def _driver(socket: Path, engine: Path) -> str:
    """Return what the engine calls this pyvol."""
    managed = plugin_id(socket)
    if managed is None:
        return socket.stem
    with Engine(engine) as asked:
        return asked.plugin_name(managed)


def _tagged(driver: str) -> str:
    """Return a driver's name as Docker completes it for a managed plugin."""
    return driver if ":" in driver.rpartition("/")[2] else f"{driver}:latest"


def _cell(text: str | None) -> str:
    return NOT_SET if text is None else text
