"""The option `--filter`: select the volumes that a command works on."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeVar

import click

from pyvol.api.v1.schema.volumes import VolumeInfo

KEYS = ("name", "pool", "label", "label!")
NO_LABELS: Mapping[str, str] = {}

F = TypeVar("F", bound=Callable[..., Any])


class Filter(NamedTuple):
    """One `--filter KEY=VALUE`."""

    key: str
    text: str

    def matches(self, volume: VolumeInfo, others: Mapping[str, str]) -> bool:
        """Return whether a volume matches; `others` are the labels that an engine has for it."""
        if self.key == "name":
            return fnmatchcase(volume.name, self.text)
        if self.key == "pool":
            return volume.pool == self.text
        label, equals, value = self.text.partition("=")
        has = any(label in labels and (not equals or labels[label] == value) for labels in (volume.labels, others))
        return has is (self.key == "label")


def filter_option(command: F) -> F:
    """Give a command `--filter`."""
    return click.option(
        "--filter",
        "filters",
        multiple=True,
        metavar="KEY=VALUE",
        callback=lambda _, __, texts: [_read(text) for text in texts],
        help="Only volumes with name=PATTERN, pool=NAME, label=KEY[=VALUE] or label!=KEY[=VALUE]; can be repeated.",
    )(command)


def all_match(filters: Sequence[Filter], volume: VolumeInfo, others: Mapping[str, str] = NO_LABELS) -> bool:
    """Return whether a volume matches all filters."""
    return all(one.matches(volume, others) for one in filters)


def _read(text: str) -> Filter:
    key, equals, value = text.partition("=")
    if not equals or key not in KEYS:
        known = ", ".join(f"{known}=" for known in KEYS)
        raise click.BadParameter(f"invalid filter {text!r}: use one of {known} and a value.")
    return Filter(key, value)
