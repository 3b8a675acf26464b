"""`pyvol completion`: what a shell needs to complete commands, flags and the names of volumes."""

import click
from click.shell_completion import get_completion_class

from pyvol.cli.sockets import find_socket
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import PyvolError

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_PYVOL_COMPLETE"


@click.command("completion", short_help="Print what completes commands and names in a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion_(shell: str) -> None:
    """Print a script for a shell; with it the Tab key completes commands, flags and the names of volumes.

    \b
    Examples:
      pyvol completion bash > /etc/bash_completion.d/pyvol
      pyvol completion zsh > /usr/local/share/zsh/site-functions/_pyvol
      pyvol completion fish > /etc/fish/completions/pyvol.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # click has these three
    context = click.get_current_context()
    script = kind(context.find_root().command, {}, "pyvol", VARIABLE).source()
    # From a directory of zsh's functions it is loaded once, and called from then on: each other Tab would do nothing.
    click.echo(script.replace("== loadautofunc", "== *func"))


def complete_volume(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the names of volumes that begin so; none where nobody answers, for a prompt is no place for errors."""
    return [name for name in _names(context, removed=False) if name.startswith(begun)]


def complete_removed(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the names in the trash that begin so."""
    return [name for name in _names(context, removed=True) if name.startswith(begun)]


def _names(context: click.Context, *, removed: bool) -> list[str]:
    asked = context.params.get("client")
    try:
        client = asked if isinstance(asked, Client) else Client(find_socket(_socket_of(context)))
        with client:
            return sorted({entry.name for entry in (client.trash() if removed else client.volumes())})
    except PyvolError:
        return []


def _socket_of(context: click.Context) -> str | None:
    """Return the socket that the environment names; a flag's is in `params` already."""
    option = next(option for option in context.command.params if "--socket" in option.opts)
    named = option.value_from_envvar(context)
    return str(named) if named else None
