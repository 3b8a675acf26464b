"""The tree of errors, its table, and the sentence that is made from the fields."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest

import pyvol
from pyvol.api.error_codes import TABLE
from pyvol.cli.exit_codes import SeveralFailed
from pyvol.client.pyvol_api import RequestRefused
from pyvol.core import errors

CARRIERS = {RequestRefused, SeveralFailed}
"""Errors that have the code of another error: the daemon's, or the first one's."""


def tree(kind: type[errors.PyvolError]) -> Iterator[type[errors.PyvolError]]:
    """All classes of the tree."""
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


def whole_tree() -> set[type[errors.PyvolError]]:
    """All classes of the tree in the whole package."""
    for module in pkgutil.walk_packages(pyvol.__path__, "pyvol."):
        if not module.name.endswith(("__main__", "_program")):
            importlib.import_module(module.name)
    return set(tree(errors.PyvolError))


KINDS = sorted(set(tree(errors.PyvolError)) - CARRIERS, key=lambda kind: kind.__name__)


def test_the_tree_is_in_one_module() -> None:
    """No other module of the package defines an error, except the two that carry another error's code."""
    assert {kind for kind in whole_tree() if kind.__module__ != errors.__name__} == CARRIERS


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_code_and_a_row(kind: type[errors.PyvolError]) -> None:
    """Each class has its own code, in snake case, and the code has an HTTP status and an exit code."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", vars(kind)["code"])
    row = TABLE[kind.code]
    assert 400 <= row.status < 600
    assert 0 < row.exit_code < 128


def test_no_two_errors_share_a_code() -> None:
    """A code names one class, and the table has no row for a code that does not exist."""
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert TABLE.keys() == {kind.code for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_in_the_drawing(kind: type[errors.PyvolError]) -> None:
    """The docstring of the module shows the tree as it is, with each code."""
    assert errors.__doc__ is not None
    depth = len(kind.__mro__) - len(errors.PyvolError.__mro__) + 1
    assert re.search(rf"^ {{{2 + 2 * depth}}}{kind.__name__} +{kind.code}\b", errors.__doc__, re.MULTILINE)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            errors.Busy("is busy", "another request has held its lock for more than 50 s", "try again", volume="data"),
            "volume 'data' is busy: another request has held its lock for more than 50 s; try again",
        ),
        (errors.BadOption("unknown option 'x'", hint="use another"), "unknown option 'x': use another"),
        (errors.StorageFailed("cannot be read", "no disk", pool="nas"), "pool 'nas' cannot be read: no disk"),
        (errors.PyvolError("it failed"), "it failed"),
    ],
)
def test_the_sentence_is_made_from_the_fields(error: errors.PyvolError, sentence: str) -> None:
    """What failed, why, and what to do; a part that is missing leaves no trace."""
    assert str(error) == sentence


def test_an_error_without_a_volume_gets_it_from_the_caller() -> None:
    """The error keeps its class and its hint, and what it said becomes the cause."""
    with pytest.raises(errors.StorageFailed) as failed, errors.naming("data", "cannot be mounted"):
        raise errors.StorageFailed("cannot be read", "no disk", "mount it", pool="nas")
    assert str(failed.value) == "volume 'data' cannot be mounted: pool 'nas' cannot be read: no disk; mount it"
    assert (failed.value.volume, failed.value.pool) == ("data", "")


def test_a_pool_that_cannot_be_used_is_not_named_between_the_volume_and_the_cause() -> None:
    """The sentence does not say the same of the volume and of its pool."""
    with pytest.raises(errors.StorageFailed) as failed, errors.naming("data"):
        raise errors.StorageFailed("cannot be used", "nas.lan does not answer", pool="nas")
    assert str(failed.value) == "volume 'data' cannot be used: nas.lan does not answer"


def test_an_error_that_names_a_volume_stays_as_it_is() -> None:
    """The innermost caller that knows the volume decides the sentence."""
    with pytest.raises(errors.Busy) as failed, errors.naming("other"):
        raise errors.Busy("is busy", volume="data")
    assert str(failed.value) == "volume 'data' is busy"


def test_the_text_of_help_is_about_no_volume() -> None:
    """`-o help` shows the text alone."""
    with pytest.raises(errors.OptionHelp) as shown, errors.naming("data"):
        raise errors.OptionHelp("pyvol takes these options")
    assert str(shown.value) == "pyvol takes these options"
