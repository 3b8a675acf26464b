"""Fixtures: one machine per engine release, with the plugin as it is shipped and no recorder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.background import Background, find_scenarios
from engine.conftest import pytest_collection_modifyitems, pytest_generate_tests
from engine.managed import ManagedMachine
from engine.releases import find_release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.registry import Registry

__all__ = ["pytest_collection_modifyitems", "pytest_generate_tests"]


@pytest.fixture(scope="session")
def background(
    version: str, image_root: bytes, published: Registry, request: pytest.FixtureRequest
) -> Iterator[Background]:
    """Start this run's scenarios that mostly wait, before the first test of the release."""
    scenarios = find_scenarios(request.session, version, Path(__file__).parent)
    begun = Background(lambda: ManagedMachine(find_release(version), image_root, published), scenarios)
    yield begun
    begun.close()


@pytest.fixture(scope="session")
def engine(version: str, image_root: bytes, published: Registry, background: Background) -> Iterator[ManagedMachine]:
    """Yield one machine for all tests of a release."""
    made = ManagedMachine(find_release(version), image_root, published)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def machine(engine: ManagedMachine, request: pytest.FixtureRequest) -> ManagedMachine:
    """Return a machine without containers and volumes, whose plugin is enabled."""
    engine.reset(live_restore=request.node.get_closest_marker("live_restore") is not None)
    return engine
