"""`pyvol completion`: what a shell needs to complete commands, flags and the names of volumes."""

import click
from click.shell_completion import get_completion_class

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
