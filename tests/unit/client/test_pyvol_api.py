"""The client of the control API, as others see it."""

import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator

import msgspec

from pyvol.client.pyvol_api import Client


def named_types(annotation: object, known: set[type]) -> Iterator[type]:
    """Yield the classes that an annotation names, and those that their fields name."""
    for part in typing.get_args(annotation):
        yield from named_types(part, known)
    if isinstance(annotation, type) and annotation not in known:
        known.add(annotation)
        yield annotation
        if issubclass(annotation, msgspec.Struct):
            for hint in typing.get_type_hints(annotation).values():
                yield from named_types(hint, known)


def test_no_type_of_the_core_is_a_public_schema() -> None:
    """The API defines every class of pyvol that a method of the client takes or returns, at any depth."""
    known: set[type] = {Client}
    found = [
        kind
        for name, method in inspect.getmembers(Client, inspect.isfunction)
        if not name.startswith("_") and name != "request"
        for hint in typing.get_type_hints(method).values()
        for kind in named_types(hint, known)
        if kind.__module__.startswith("pyvol.")
    ]
    assert {"VolumeInfo", "UsageInfo", "Difference", "Event", "AdoptMethod"} <= {kind.__name__ for kind in found}
    assert [kind for kind in found if not kind.__module__.startswith("pyvol.api.")] == []


def test_the_client_knows_no_web_framework() -> None:
    """A script that lists volumes loads neither Flask nor Werkzeug."""
    script = "import sys, pyvol.client; print(*({'flask', 'werkzeug'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
