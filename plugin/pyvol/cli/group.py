"""The `pyvol` command: a click group whose commands are imported when they are called."""

import errno
import importlib
import io
import os
import sys
from typing import Any

import click

from pyvol import __version__
from pyvol.cli.terminal import find_terminal
from pyvol.core.errors import PyvolError
from pyvol.core.model.text import escape_control_chars

MODULES = {
    "serve": "daemon.serve",
    "config": "daemon.config",
    "ls": "volumes.ls",
    "inspect": "volumes.inspect",
    "set": "volumes.set",
    "rename": "volumes.rename",
    "adopt": "volumes.adopt",
    "diff": "volumes.diff",
    "claims": "volumes.claims",
    "trash": "volumes.trash",
    "undelete": "volumes.undelete",
    "prune": "volumes.prune",
    "usage": "volumes.usage",
    "jobs": "daemon.jobs",
    "events": "daemon.events",
    "doctor": "daemon.doctor",
    "completion": "daemon.completion",
}
"""The module of each command, below `pyvol.cli.commands`."""
DOCKERS = {"create": "create -d pyvol", "rm": "rm", "remove": "rm", "delete": "rm"}
"""Commands that Docker has, and that users look for here too."""
LOST = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The errors of a write to the output: nobody reads it, or the disk is full."""


class Commands(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, _: click.Context) -> list[str]:
        """Return the names, in the order in which a new user needs them."""
        return list(MODULES)

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in MODULES:
            return None
        module = importlib.import_module(f"pyvol.cli.commands.{MODULES[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_")
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Suggest the nearest command for an unknown one."""
        import difflib  # noqa: PLC0415  # only for a typo

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], MODULES, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            if args[0] in DOCKERS:
                hint = f" That is `docker volume {DOCKERS[args[0]]}`."
            raise click.UsageError(f"{error.message}{hint}", ctx) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="pyvol")
def group() -> None:
    """Docker volumes that survive, and a trash to undo removals.

    \b
    Examples:
      pyvol serve                     run the daemon
      docker volume create -d pyvol data
      pyvol ls                        list volumes, with claims and health
      pyvol undelete data             bring back a removed volume
      pyvol doctor                    find problems, with a hint for each

    Exit codes: 0 success, 1 failure, 2 bad request, 3 not found, 4 refused, 69 no daemon, 74 output lost, 75
    busy, 78 bad setting.
    """


def main(command: click.Command = group) -> None:
    """Run the command line; an error of pyvol becomes one sentence in red and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a locale may lack letters, even the …
    try:
        command(prog_name="pyvol")
    except PyvolError as error:
        from pyvol.cli.exit_codes import exit_code  # noqa: PLC0415  # only where something went wrong

        _complain(str(error))
        sys.exit(exit_code(error))
    except OSError as error:
        if error.errno not in LOST or error.filename is not None:
            _complain(str(error))
            sys.exit(1)
        _complain(f"the output cannot be written: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter tries once more as it ends
        sys.exit(os.EX_IOERR)


def _complain(sentence: str) -> None:
    prefix = click.style("pyvol:", fg="red", bold=True)
    colours = find_terminal(sys.stderr).has_colours
    click.echo(f"{prefix} {escape_control_chars(sentence)}", err=True, color=colours)
