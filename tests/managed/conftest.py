"""Fixtures: for each engine release one machine with the plugin as it is shipped, nothing between it and its engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.conftest import pytest_generate_tests
from engine.managed import ManagedMachine
from engine.releases import find_release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["pytest_generate_tests"]


@pytest.fixture(scope="session")
def engine(version: str, image_root: bytes, built: Path) -> Iterator[ManagedMachine]:
    """One machine for all the tests of a release."""
    made = ManagedMachine(find_release(version), image_root, built)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def machine(engine: ManagedMachine) -> ManagedMachine:
    """The machine with nothing on it, and its plugin enabled."""
    engine.reset()
    return engine
