"""The flags of `pyvol serve` and `pyvol config`: one for each setting."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from pyvol.config import settings

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


def load_settings(flags: dict[str, str | None]) -> settings.Settings:
    """Return the settings in effect."""
    return settings.load({key: text for key, text in flags.items() if text is not None}, os.environ)
