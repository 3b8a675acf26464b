"""The flags of `pyvol serve` and `pyvol config`: one for each setting.

click decides between flag, environment, file (its `default_map`) and default, and knows the source of each
value.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from pyvol.config import settings

F = TypeVar("F", bound=Callable[..., Any])


def setting_options(command: F) -> F:
    """Give a command a flag for each setting."""
    for setting in reversed(settings.TABLE):
        is_config = setting.key == "config"
        command = click.option(
            setting.flag,
            setting.key,
            metavar="VALUE",
            envvar=setting.variable,
            show_envvar=True,
            default=setting.default,
            show_default=bool(setting.default),
            is_eager=is_config,  # the file has to be read before the other settings are looked up
            callback=_read_file if is_config else None,
            help=f"{setting.help[0].upper()}{setting.help[1:]}.",
        )(command)
    return command


def load_settings(context: click.Context) -> settings.Settings:
    """Return the settings in effect for a command with `setting_options`."""
    settings.refuse_unknown_variables(os.environ)
    sources = {setting.key: _source(context, setting) for setting in settings.TABLE}
    return settings.load({**(context.default_map or {}), **context.params}, sources)


def _read_file(context: click.Context, _: click.Parameter, text: str) -> str:
    """Read the settings file, whose values click takes for the other settings."""
    setting = settings.BY_KEY["config"]
    source = _source(context, setting)
    path = settings.parse(setting, text, source)
    context.default_map = settings.read_file(path, needed=source != "default")
    return str(path)


def _source(context: click.Context, setting: settings.Setting) -> str:
    match context.get_parameter_source(setting.key):
        case ParameterSource.COMMANDLINE:
            return f"flag {setting.flag}"
        case ParameterSource.ENVIRONMENT:
            return f"environment {setting.variable}"
        case ParameterSource.DEFAULT_MAP:
            return f"file {context.params['config']}"
        case _:
            return "default"
