"""All commands of the CLI, and their examples, for tests that leave none out."""

import re
from collections.abc import Iterator

import click


def command_lines(command: click.Command, name: str = "pyvol") -> Iterator[tuple[str, click.Command]]:
    """Yield each command as it is typed."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            assert below is not None
            yield from command_lines(below, f"{name} {word}")
    else:
        yield name, command


def examples(command: click.Command) -> list[str]:
    """Return what the help of a command shows of it: each call, without what it is piped into."""
    _, _, shown = command.get_help(click.Context(command)).partition("Examples:\n")
    return [call.strip() for call in re.findall(r"\bpyvol [^|>\n]*", shown.partition("\n\n")[0])]
