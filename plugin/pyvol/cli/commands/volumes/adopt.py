"""`pyvol adopt`: turn existing data into volumes."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from pyvol.api.v1.schema.adopt import Adopt, AdoptKind, AdoptMethod, AdoptPlan
from pyvol.cli.commands.volumes.adopt_sources import Source, of_directory, of_engine, of_local_persist
from pyvol.cli.exit_codes import raise_all
from pyvol.cli.options import engine_option, json_option, socket_option
from pyvol.cli.progress import await_job
from pyvol.cli.table import show_json, show_table
from pyvol.client.docker_api import Engine, EngineVolume
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import EngineRefused, EngineUnreachable, PyvolError, VolumeInUse

COMPOSE_HASH = "com.docker.compose.config-hash"
"""Compose's record of the file, with the driver: if it differs, Compose offers to create the volume again."""


class Row(msgspec.Struct):
    """The output of `--json` for each volume: how it is adopted, or why not, and what the user has to do."""

    name: str
    kind: AdoptKind
    how: AdoptMethod | None = None
    source: str = ""
    pool: str = ""
    done: bool = False
    refused: str = ""
    next: str = ""


@click.command("adopt", short_help="Turn existing data into volumes.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--from-local", is_flag=True, help="Volumes of Docker's local driver: the named ones, or --all.")
@click.option("--all", "every", is_flag=True, help="All of them, except anonymous volumes.")
@click.option(
    "--from-local-persist",
    "state_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Volumes of local-persist, from its state file: the named ones, or all.",
)
@click.option("--path", metavar="DIR", help="This directory, as the volume of --name.")
@click.option("--name", "as_name", metavar="NAME", help="The name of the volume of --path.")
@click.option("--move", is_flag=True, help="Move the files of --path or of local-persist into the pool.")
@click.option(
    "-o", "--opt", "words", multiple=True, metavar="KEY=VALUE", help="An option of the volumes; can be repeated."
)
@click.option("-f", "--force", is_flag=True, help="Adopt. Without --force, only show what would be done.")
@engine_option
@socket_option
@json_option
def adopt_(  # noqa: PLR0913  # one argument an option
    client: Client,
    engine: Path,
    names: tuple[str, ...],
    *,
    state_file: Path | None,
    path: str | None,
    as_name: str | None,
    words: tuple[str, ...],
    from_local: bool,
    every: bool,
    move: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Turn existing data into volumes with the same names.

    Shows what would be done, and does it with --force.

    Without a source, adopt directories in the pools that pyvol does not know, for example from another host.

    pyvol moves files into the pool by a rename within a file system, else by a copy that becomes the volume
    when it is complete. Refused while a container uses the files, and for names that pyvol has already. A
    volume of the local driver is removed from Docker when no container refers to it; until then it hides the
    volume of pyvol.

    \b
    Examples:
      pyvol adopt
      pyvol adopt --from-local shop_data
      pyvol adopt --from-local --all --force
      pyvol adopt --from-local-persist /var/lib/docker/plugin-data/local-persist.json --force
      pyvol adopt --path /srv/notes --name notes --move --force
    """
    _check_usage(names, state_file, path, as_name, words, from_local=from_local, every=every, move=move)
    options = dict(_option(word) for word in words)
    with _engine(engine, needed=from_local) as asked:
        if from_local and asked is not None:
            sources = list(of_engine(asked, names, every=every))
        elif state_file is not None:
            sources = list(of_local_persist(asked, state_file, names, move=move))
        elif path is not None and as_name is not None:
            sources = [of_directory(asked, as_name, str(Path(path).absolute()), move=move)]
        else:
            found = {plan.name: Source(plan.name, AdoptKind.STRAY, {}) for plan in client.adoptable()}
            sources = [found.get(name, Source(name, AdoptKind.STRAY, {})) for name in names or found]
        wrong: list[PyvolError] = []
        rows = [_adopt(client, asked, source, options, wrong, force=force) for source in sources]
    if as_json:
        show_json(rows)
    else:
        _show(rows, force=force)
    raise_all(wrong)


def _check_usage(  # noqa: PLR0913  # what the command takes
    names: Sequence[str],
    state_file: Path | None,
    path: str | None,
    as_name: str | None,
    words: Sequence[str],
    *,
    from_local: bool,
    every: bool,
    move: bool,
) -> None:
    sources = sum(map(bool, (from_local, state_file, path)))
    wrong = {
        "name one source: --from-local, --from-local-persist or --path": sources > 1,
        "--path and --name go together": bool(path) is not bool(as_name),
        "--path takes one directory, and no names": bool(path and names),
        "--from-local takes NAME... or --all": from_local and bool(names) is every,
        "--all goes with --from-local": every and not from_local,
        "--move goes with --path and --from-local-persist; the files of --from-local always move": move
        and not (path or state_file),
        "-o needs a source; `pyvol set` changes options of adopted volumes": bool(words) and not sources,
    }
    for summary, is_so in wrong.items():
        if is_so:
            raise click.UsageError(summary)


@contextmanager
def _engine(socket: Path, *, needed: bool) -> Iterator[Engine | None]:
    """Yield the engine; None if this host has no engine and the command does not need one."""
    if not needed and not socket.exists():
        yield None
        return
    with Engine(socket) as engine:
        yield engine


def _option(word: str) -> tuple[str, str]:
    key, _, text = word.partition("=")
    return key, text


def _adopt(  # noqa: PLR0913  # what one row takes
    client: Client,
    engine: Engine | None,
    source: Source,
    options: Mapping[str, str],
    wrong: list[PyvolError],
    *,
    force: bool,
) -> Row:
    row = Row(source.name, source.kind, source=source.path)
    try:
        if source.running:
            raise VolumeInUse(
                "cannot be adopted",
                f"{', '.join(source.running)} {'uses' if len(source.running) == 1 else 'use'} it",
                "stop the containers first",
                volume=source.name,
            )
        asked = Adopt(source.name, source.kind, {**source.options, **options}, source.path)
        _fill(row, client.plan_adoption(asked))
        row.next = _next(source, row)
        if force:
            twin = None if source.users else source.twin
            left = _docker_commands(twin) if twin else row.next
            _fill(row, await_job(client, client.adopt(asked), AdoptPlan, left))
            row.done = True
            row.next = _next(source, row)
            if engine and twin:
                _replace_twin(engine, twin)
    except PyvolError as error:
        row.refused = str(error)
        wrong.append(error)
    return row


def _fill(row: Row, plan: AdoptPlan) -> None:
    row.how, row.source, row.pool = plan.how, plan.source, plan.pool


def _next(source: Source, row: Row) -> str:
    """Return what the user still has to do."""
    names = " ".join(user.name for user in source.users)
    if source.twin and names:
        return f"docker rm {names}; docker volume rm {source.name}; then start the services that used it again"
    stays = f"{row.source} stays: delete it when you have looked at the volume"
    return "; ".join(
        filter(
            None,
            [
                names and f"recreate {names} with the volume instead of the directory",
                stays if source.kind is AdoptKind.DIRECTORY and row.how is AdoptMethod.COPY else "",
            ],
        )
    )


def _replace_twin(engine: Engine, twin: EngineVolume) -> None:
    """Remove the volume of the engine, and make the engine record the one of pyvol, with the same labels."""
    name, labels = twin.name, _labels(twin)
    try:
        if _driver(engine, name) == twin.driver:  # a copy takes a while: the user may have done it
            engine.remove_volume(name)
        if labels:
            engine.create_volume(name, _driver(engine, name), labels)
    except (EngineRefused, EngineUnreachable) as error:
        raise EngineRefused(
            "is adopted, but Docker has not recorded that",
            error.summary,
            _docker_commands(twin),
            volume=name,
        ) from error


def _docker_commands(twin: EngineVolume) -> str:
    """Return the commands with which the user replaces the engine's volume, if this command cannot do it."""
    words = [f"--label {shlex.quote(f'{key}={value}')} " for key, value in _labels(twin).items()]
    return (
        f"`docker volume rm {twin.name}` if Docker still shows driver {twin.driver}, then "
        f"`docker volume create -d pyvol {''.join(words)}{twin.name}`"
    )


def _labels(twin: EngineVolume) -> dict[str, str]:
    """Return the labels of the engine's volume that hold for the volume of pyvol too."""
    return {key: text for key, text in (twin.labels or {}).items() if key != COMPOSE_HASH}


def _driver(engine: Engine, name: str) -> str:
    """Return the engine's driver for a volume; raise `EngineRefused` if it lists no such volume."""
    for volume in engine.volumes():
        if volume.name == name:
            return volume.driver
    raise EngineRefused("the engine lists no such volume")


def _show(rows: Sequence[Row], *, force: bool) -> None:
    table = [(row.name, row.how or "refused", row.source, row.pool, row.refused or row.next) for row in rows]
    show_table(("NAME", "HOW", "FROM", "POOL", "NOTE"), table, "Nothing to adopt.")
    left = [row for row in rows if row.done or not row.refused]
    if left and not force:
        click.echo(f"\n{len(left)} would be adopted: add --force to do it.", err=True)
    elif left:
        click.echo(f"\n{len(left)} adopted: `pyvol ls` shows them.", err=True)
