"""Completion of the names of volumes and of the ids of jobs, when a shell asks for them."""

from collections.abc import Callable

import click

from pyvol.cli.sockets import find_socket
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import PyvolError


def complete_volume(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the names of volumes that begin like this."""
    return _complete(context, begun, lambda client: [volume.name for volume in client.volumes()])


def complete_removed(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the names in the trash that begin like this."""
    return _complete(context, begun, lambda client: [volume.name for volume in client.trash()])


def complete_job(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Return the ids of jobs that have not ended, and that begin like this."""
    return _complete(context, begun, lambda client: [job.id for job in client.jobs() if job.ended is None])


def _complete(context: click.Context, begun: str, list_words: Callable[[Client], list[str]]) -> list[str]:
    """Return the words that begin like this; none if no daemon answers: a prompt must not show errors."""
    asked = context.params.get("client")
    try:
        client = asked if isinstance(asked, Client) else Client(find_socket(_socket_of(context)))
        with client:
            return sorted({word for word in list_words(client) if word.startswith(begun)})
    except PyvolError:
        return []


def _socket_of(context: click.Context) -> str | None:
    """Return the socket of the environment variable; the one of the flag is already in `params`."""
    option = next(option for option in context.command.params if "--socket" in option.opts)
    named = option.value_from_envvar(context)
    return str(named) if named else None
