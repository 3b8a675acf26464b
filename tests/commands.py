"""All commands of the command line, and their examples."""

import re
from collections.abc import Iterator

import click


def command_lines(command: click.Command, name: str = "pyvol") -> Iterator[tuple[str, click.Command]]:
    """Yield each command with the words that a user types."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            assert below is not None
            yield from command_lines(below, f"{name} {word}")
    else:
        yield name, command


def examples(command: click.Command) -> list[str]:
    """Return the examples in the help of a command, each without the program that it is piped into."""
    _, _, shown = command.get_help(click.Context(command)).partition("Examples:\n")
    return [call.strip() for call in re.findall(r"\bpyvol [^|>\n]*", shown.partition("\n\n")[0])]
