"""`pyvol completion`: print the script that completes commands, flags and names of volumes in a shell."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_PYVOL_COMPLETE"


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion_(shell: str) -> None:
    """Print the script with which the Tab key completes commands, flags and names of volumes.

    \b
    Examples:
      pyvol completion bash > /etc/bash_completion.d/pyvol
      pyvol completion zsh > /usr/local/share/zsh/site-functions/_pyvol
      pyvol completion fish > /etc/fish/completions/pyvol.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # click supports these three
    context = click.get_current_context()
    script = kind(context.find_root().command, {}, "pyvol", VARIABLE).source()
    # zsh loads it once from a directory of functions, and then calls it: otherwise every second Tab would do
    # nothing.
    click.echo(script.replace("== loadautofunc", "== *func"))
