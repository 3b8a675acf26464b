"""`pyvol trash ls` and `pyvol trash empty`."""

from collections.abc import Sequence

import click

from pyvol.cli.options import json_option, socket_option
from pyvol.cli.progress import await_done
from pyvol.cli.table import ago, show_json, show_table, size_cell
from pyvol.cli.volume_names import complete_removed
from pyvol.client.pyvol_api import Client, RequestRefused
from pyvol.core.errors import NoSuchTrash


@click.group("trash", short_help="Removed volumes: list them, let go of them.")
def trash_() -> None:
    """Removed volumes: list them, let go of them. `pyvol undelete` brings one back."""


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


@trash_.command("empty", short_help="Let go of removed volumes, for good.")
@click.argument("names", nargs=-1, metavar="[NAME|ID]...", shell_complete=complete_removed)
@click.option("--all", "kept_too", is_flag=True, help="Also those with on_remove=keep.")
@click.option("-f", "--force", is_flag=True, help="Don't ask.")
@socket_option
@json_option
def empty(names: tuple[str, ...], client: Client, *, kept_too: bool, force: bool, as_json: bool) -> None:
    """Let go of removed volumes, for good: the named ones, or all but those with on_remove=keep.

    \b
    Examples:
      pyvol trash empty data
      pyvol trash empty --force
    """
    if not force:
        _check_there(client, names)
        what = ", ".join(names) or ("everything in the trash" if kept_too else "everything in the trash that expires")
        click.confirm(f"Delete {what} for good (--force does not ask)?", abort=True, err=True)
    with Client(client.socket) as beside:
        emptied = await_done(
            lambda: client.empty_trash(names, kept_too=kept_too), "emptying the trash", lambda: _progress(beside)
        )
    if as_json:
        show_json(emptied)
    else:
        click.echo("".join(f"{volume.name} ({volume.id}) is gone for good\n" for volume in emptied.gone), nl=False)
        if not emptied.gone and not emptied.failed:
            click.echo("Nothing to let go of.", err=True)
    if emptied.failed:
        raise RequestRefused(500, "; ".join(emptied.failed))


def _check_there(client: Client, names: Sequence[str]) -> None:
    """Refuse names of which nothing is in the trash, before a question is asked about them."""
    there = {word for volume in client.trash() for word in (volume.name, volume.id)}
    for name in names:
        if name not in there:
            raise NoSuchTrash(name)


def _progress(client: Client) -> str:
    now = client.emptying()
    return f"{now.done} of {now.of} are gone" if now.of else ""
