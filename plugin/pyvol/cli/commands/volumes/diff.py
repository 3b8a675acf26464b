"""`pyvol diff`: compare a Compose file with the existing volumes."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import msgspec

from pyvol.api.v1.schema.volumes import Comparison, Difference
from pyvol.cli.options import engine_option, json_option, socket_option
from pyvol.cli.sockets import plugin_id
from pyvol.cli.table import show_json, show_table
from pyvol.client.compose import FileVolume, read_config, resolve
from pyvol.client.docker_api import Engine
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import BadRequest
from pyvol.core.model.text import escape_control_chars
from pyvol.core.model.volume import NAME

STDIN = "-"
NOT_SET = "not set"


class Row(msgspec.Struct):
    """A difference, as `--json` prints it; null for a value that is not set.

    Attributes:
        volume: its name in the engine.
        option: an option of `driver_opts`, or `name`, `driver` or `driver_opts` itself.
        file: the value in the file.
        pyvol: the value in pyvol.
        do: how to make them equal.
    """

    volume: str
    option: str
    file: str | None
    pyvol: str | None
    do: str


@click.command("diff", short_help="Compare a Compose file with the existing volumes.")
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(allow_dash=True))
@click.option(
    "-p", "--project-name", "project", metavar="NAME", help="The name of the project, if it is not the one of the file."
)
@engine_option
@socket_option
@json_option
def diff_(client: Client, files: tuple[str, ...], project: str | None, engine: Path, *, as_json: bool) -> None:
    """Compare the volumes of a Compose file with the existing ones.

    Docker ignores options that were changed after it created the volume.

    Compose itself reads the files, as `docker compose --file FILE...` does, or the ones of this directory.
    With -, pyvol reads the output of `docker compose config --format json` from standard input. Exits with 1
    if something differs.

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
            raise BadRequest("- cannot be combined with other files or --project-name", "its input is already resolved")
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
                yield Row(volume.name, "name", volume.name, None, "choose another name: pyvol does not accept this one")
            continue
        found = client.compare(volume.name, volume.driver_opts if is_ours else None)
        if found.exists or found.now or is_ours:
            yield from _rows(key, volume, found, driver, is_ours=is_ours)


def _rows(key: str, volume: FileVolume, found: Comparison, driver: str, *, is_ours: bool) -> Iterator[Row]:
    if found.now:
        do = f"add `name: {found.now}` below `{key}:`, or run `pyvol rename {found.now} {volume.name}`"
        yield Row(volume.name, "name", volume.name, found.now, do)
    elif not found.exists:
        yield Row(volume.name, "name", volume.name, None, "`docker compose up` creates it")
    elif not is_ours and not volume.external:
        yield Row(volume.name, "driver", volume.driver or "local", driver, f"add `driver: {driver}` below `{key}:`")
    if found.problem:
        yield Row(volume.name, "driver_opts", None, None, f"correct the file: {found.problem}")
    for difference in found.differences:
        yield Row(volume.name, difference.option, difference.asked, difference.held, _hint(volume.name, difference))


def _hint(name: str, difference: Difference) -> str:
    if difference.mutable:
        return f"pyvol set {name} {difference.option}={difference.asked or ''}"
    return "cannot be changed: correct the file, or create the volume again and copy the data"


def _driver(socket: Path, engine: Path) -> str:
    """Return the name of this pyvol in the engine."""
    managed = plugin_id(socket)
    if managed is None:
        return socket.stem
    with Engine(engine) as asked:
        return asked.plugin_name(managed)


def _tagged(driver: str) -> str:
    """Return the name of a driver with its tag, which Docker adds for a managed plugin."""
    return driver if ":" in driver.rpartition("/")[2] else f"{driver}:latest"


def _cell(text: str | None) -> str:
    return NOT_SET if text is None else text
