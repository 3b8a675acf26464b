"""A ratchet: each engine fact that concerns pyvol has a test that names it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LATER = {38: "sized volumes"}
"""Facts about features that pyvol does not have yet."""

FACTS = {
    int(number): so
    for number, so in re.findall(
        r"^\| (\d+) \| .* \| (.*) \|$", (ROOT / "docs/engine-facts.md").read_text(encoding="utf-8"), re.MULTILINE
    )
}


def named() -> set[int]:
    """Return the facts in tests' names and docstrings: `test_fact_8_…`, `(fact 8)`, `(facts 7, 8 and 11)`."""
    found: set[int] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8")
        for numbers in re.findall(r"facts? ((?:\d+(?:, | and |-)?)+)|def test_fact_(\d+)", text):
            found.update(int(number) for number in re.findall(r"\d+", "".join(numbers)))
    return found


def test_the_list_is_complete() -> None:
    """The facts are numbered from 1 to 44."""
    assert sorted(FACTS) == list(range(1, 45))


@pytest.mark.parametrize("number", sorted(set(range(1, 45)) - set(LATER)))
def test_a_fact_has_a_test_that_names_it(number: int) -> None:
    """Each engine fact is named by a test."""
    assert number in named()


@pytest.mark.parametrize("number", sorted(LATER))
def test_facts_without_tests_are_marked(number: int) -> None:
    """A fact without a test is marked as later in the list."""
    assert FACTS[number].startswith("later")
