"""The tree of errors and its table."""

import re
from collections.abc import Iterator

import pytest

from pyvol.api.codec import STATUS
from pyvol.cli.exit_codes import SeveralFailed
from pyvol.client.pyvol_api import RequestRefused
from pyvol.core import errors


def tree(kind: type[errors.PyvolError]) -> Iterator[type[errors.PyvolError]]:
    """All classes of the tree."""
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


KINDS = sorted(set(tree(errors.PyvolError)) - {RequestRefused, SeveralFailed}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_row(kind: type[errors.PyvolError]) -> None:
    """An error without a status and an exit code would be a crash at the worst moment."""
    status, code = STATUS[kind]
    assert 400 <= status < 600
    assert 0 < code < 128


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_stands_in_the_drawing(kind: type[errors.PyvolError]) -> None:
    """The docstring of the module shows the tree as it is."""
    assert errors.__doc__ is not None
    depth = len(kind.__mro__) - len(errors.PyvolError.__mro__) + 1
    assert re.search(rf"^ {{{2 + 2 * depth}}}{kind.__name__}\b", errors.__doc__, re.MULTILINE)
