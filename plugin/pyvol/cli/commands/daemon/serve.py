"""`pyvol serve` and `pyvol config`: the two commands that need no daemon."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from pyvol.config import settings
from pyvol.core.model.volume import DEFAULT_POOL

F = TypeVar("F", bound=Callable[..., Any])


def setting_options(command: F) -> F:
    """Give a command a flag for each setting."""
    for setting in reversed(settings.TABLE):
        command = click.option(
            setting.flag,
            setting.key,
            metavar="VALUE",
            help=f"{setting.help[0].upper()}{setting.help[1:]}. [{setting.variable}"
            + (f", default: {setting.default}]" if setting.default else "]"),
        )(command)
    return command


def _load(flags: dict[str, str | None]) -> settings.Settings:
    return settings.load({key: text for key, text in flags.items() if text is not None}, os.environ)


@click.command("serve", short_help="Run the daemon.")
@setting_options
def serve_(**flags: str | None) -> None:
    """Run the daemon until SIGTERM. Flags are stronger than PYVOL_* variables, those than pyvol.toml.

    \b
    Examples:
      pyvol serve
      pyvol serve --root /srv/volumes --log-level debug
      PYVOL_SOCKET=/tmp/p/pyvol.sock PYVOL_ROOT=/tmp/p pyvol serve
    """
    holds = _load(flags)
    from pyvol.daemon import listener  # noqa: PLC0415
    from pyvol.daemon.log import configure  # noqa: PLC0415

    log = configure(holds.log_level, holds.log_format)
    bind = listener.open_door(holds, log)
    # Only this command needs a web server, and a web framework, and their start-up time.
    from pyvol.daemon import gunicorn_server  # noqa: PLC0415

    gunicorn_server.serve(holds, log, bind)


@click.command("config", short_help="Print the settings that hold, and where each comes from.")
@setting_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def config_(*, as_json: bool, **flags: str | None) -> None:
    """Print the settings that hold, and where each comes from.

    \b
    Examples:
      pyvol config
      PYVOL_TRASH_KEEP=30d pyvol config --json
    """
    from pyvol.cli.table import show_json, show_table  # noqa: PLC0415  # `serve` does without tables

    holds = _load(flags)
    rows = [(row.key, row.show(getattr(holds, row.key)), holds.sources[row.key]) for row in settings.TABLE]
    file = f"file {holds.config}"
    of_settings = {
        DEFAULT_POOL: "root",
        **({settings.NFS_POOL: holds.sources["nfs_export"]} if holds.nfs_export else {}),
    }
    pools = [(f"pools.{pool.name}", str(pool.path), of_settings.get(pool.name, file)) for pool in holds.pools]
    if as_json:
        show_json({key: {"value": value, "source": source} for key, value, source in [*rows, *pools]})
    else:
        show_table(("SETTING", "VALUE", "SOURCE"), [*rows, *pools], "")
