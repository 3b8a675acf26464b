"""Completion of the names of volumes, when a shell asks for them."""

import click

from pyvol.cli.sockets import find_socket
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import PyvolError


def complete_volume(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the names of volumes that begin like this; none if no daemon answers: a prompt must not show errors."""
    return [name for name in _names(context, removed=False) if name.startswith(begun)]


def complete_removed(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the names in the trash that begin like this."""
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
    """Return the socket of the environment variable; the one of the flag is already in `params`."""
    option = next(option for option in context.command.params if "--socket" in option.opts)
    named = option.value_from_envvar(context)
    return str(named) if named else None
