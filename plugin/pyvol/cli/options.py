"""The options that many commands share: the sockets of the daemon and of the engine, and JSON output."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pyvol.cli.sockets import ENGINES, find_engine, find_socket
from pyvol.client.pyvol_api import Client
from pyvol.config.settings import BY_KEY

F = TypeVar("F", bound=Callable[..., Any])


def socket_option(command: F) -> F:
    """Give a command `--socket`; its value becomes a client."""
    setting = BY_KEY["socket"]
    return click.option(
        "--socket",
        "client",
        metavar="PATH",
        envvar=setting.variable,
        show_default=f"{setting.default}, or the managed plugin's",
        show_envvar=True,
        callback=lambda _, __, path: Client(find_socket(path)),
        help="The socket of the daemon.",
    )(command)


def engine_option(command: F) -> F:
    """Give a command `--engine`."""
    return click.option(
        "--engine",
        metavar="PATH",
        type=click.Path(path_type=Path, readable=False),  # the request says so if the user may not connect
        default=find_engine,
        show_default=str(ENGINES[0]),
        help="The socket of the Docker engine.",
    )(command)


def json_option(command: F) -> F:
    """Give a command `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(command)
