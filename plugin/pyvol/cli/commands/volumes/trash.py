"""`pyvol trash ls` and `pyvol trash empty`."""

from collections.abc import Sequence

import click

from pyvol.api.v1.schema.trash import Emptied
from pyvol.cli.options import json_option, socket_option
from pyvol.cli.progress import await_job
from pyvol.cli.table import ago, show_json, show_table, size_cell
from pyvol.cli.volume_names import complete_removed
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import NoSuchTrash, PyvolError


@click.group("trash", short_help="List removed volumes, or delete them permanently.")
def trash_() -> None:
    """List removed volumes, or delete them permanently. `pyvol undelete` brings one back."""


@trash_.command("ls", short_help="List what can be undeleted.")
@socket_option
@json_option
def ls(client: Client, *, as_json: bool) -> None:
    """List what can be undeleted, the latest removal first.

    \b
    Examples:
      pyvol trash ls
      pyvol trash ls --json
    """
    removed = client.trash()
    if as_json:
        show_json(removed)
        return
    show_table(
        ("NAME", "ID", "POOL", "REMOVED", "EXPIRES", "SIZE"),
        [(v.name, v.id, v.pool, ago(v.removed), ago(v.until), size_cell(v.usage)) for v in removed],
        "The trash is empty.",
    )


@trash_.command("empty", short_help="Permanently delete removed volumes.")
@click.argument("names", nargs=-1, metavar="[NAME|ID]...", shell_complete=complete_removed)
@click.option("--all", "kept_too", is_flag=True, help="Also those with on_remove=keep.")
@click.option("-f", "--force", is_flag=True, help="Don't ask.")
@socket_option
@json_option
def empty(names: tuple[str, ...], client: Client, *, kept_too: bool, force: bool, as_json: bool) -> None:
    """Permanently delete removed volumes: the named ones, or all except those with on_remove=keep.

    Ctrl-C does not stop the deletion: `pyvol jobs` lists it, and `pyvol jobs cancel` ends it.

    \b
    Examples:
      pyvol trash empty data
      pyvol trash empty --force
    """
    if not force:
        _check_there(client, names)
        what = ", ".join(names) or ("everything in the trash" if kept_too else "everything in the trash that expires")
        click.confirm(f"Permanently delete {what} (--force does not ask)?", abort=True, err=True)
    emptied = await_job(client, client.empty_trash(names, kept_too=kept_too), Emptied)
    if as_json:
        show_json(emptied)
    else:
        click.echo(
            "".join(f"{volume.name} ({volume.id}) is deleted permanently\n" for volume in emptied.gone), nl=False
        )
        if not emptied.gone and not emptied.failed:
            click.echo("Nothing to delete.", err=True)
    if emptied.failed:
        raise PyvolError("; ".join(emptied.failed))


def _check_there(client: Client, names: Sequence[str]) -> None:
    """Raise NoSuchTrash if a name has no volume in the trash, before the user has to confirm anything."""
    there = {word for volume in client.trash() for word in (volume.name, volume.id)}
    for name in names:
        if name not in there:
            raise NoSuchTrash(name)
