"""Fixtures: one machine per engine release, reset to the same state before every test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .background import Background, find_scenarios
from .machine import Machine
from .managed import RecordedMachine
from .podman import PodmanMachine
from .releases import BESIDE, MANAGED, find_release, order, wanted_versions
from .transcripts import record

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the transcripts."""
    parser.addoption("--record", action="store_true", help="write the engines' requests to tests/transcripts")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers that only these tests use."""
    config.addinivalue_line("markers", "beside: needs pyvol as a daemon beside the engine, not as its managed plugin")
    config.addinivalue_line("markers", "since(version): runs only on engines of this release and newer")
    config.addinivalue_line("markers", "transcript(name): the contract tests replay the calls that this test records")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move tests with live-restore to the end, and tests that wait for a background scenario after them.

    pytest then groups the tests by release, so the moved tests are the last of their release.
    """
    items.sort(key=lambda item: [item.get_closest_marker(name) is not None for name in ("background", "live_restore")])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses a machine on every wanted release that has the feature.

    On the newest release, also run the test with pyvol as the engine's managed plugin, except if it is marked
    `beside`.
    """
    if "version" in metafunc.fixturenames:
        since = metafunc.definition.get_closest_marker("since")
        oldest = since.args[0] if since else "0"
        versions = [version for version in wanted_versions() if order(version) >= order(oldest)]
        if "way" not in metafunc.fixturenames:
            metafunc.parametrize("version", versions, scope="session")
            return
        ways = [(version, BESIDE) for version in versions]
        if not metafunc.definition.get_closest_marker("beside"):
            ways += [(max(versions, key=order), MANAGED)]
        ids = [version if way == BESIDE else f"{version}-{way}" for version, way in ways]
        metafunc.parametrize(("version", "way"), ways, ids=ids, scope="session")


@pytest.fixture(scope="session")
def background_scenarios(version: str, image_root: bytes, request: pytest.FixtureRequest) -> Iterator[Background]:
    """Start this run's scenarios that mostly wait, before the first test of the release."""
    scenarios = find_scenarios(request.session, version, Path(__file__).parent)
    begun = Background(lambda: Machine(find_release(version), image_root), scenarios)
    yield begun
    begun.close()


@pytest.fixture(scope="session")
def engine(
    version: str, way: str, image_root: bytes, background_scenarios: Background, request: pytest.FixtureRequest
) -> Iterator[Machine]:
    """Yield one machine for all tests of a release and a way to run pyvol."""
    release = find_release(version)
    if way == MANAGED:
        made: Machine = RecordedMachine(release, image_root, request.getfixturevalue("published"))
    else:
        made = Machine(release, image_root)
    try:
        made.start()
        yield made
    finally:
        made.close()


def find_scenario(request: pytest.FixtureRequest) -> str | None:
    """Return the name of the transcript that the test writes, if the run records transcripts."""
    marker = request.node.get_closest_marker("transcript")
    wanted = marker is not None and request.config.getoption("--record", default=False)
    return marker.args[0] if marker is not None and wanted else None


@pytest.fixture
def background(version: str, background_scenarios: Background, request: pytest.FixtureRequest) -> Iterator[Background]:
    """Yield the running scenarios to a test that waits for one of them."""
    yield background_scenarios
    if scenario := find_scenario(request):
        played = background_scenarios.finish(request.node.get_closest_marker("background").kwargs["scenario"])
        record(version, scenario, played.entries, played.root)


@pytest.fixture
def machine(engine: Machine, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Yield a machine without containers and volumes, whose recorder listens."""
    engine.reset(live_restore=request.node.get_closest_marker("live_restore") is not None)
    yield engine
    if scenario := find_scenario(request):
        record(engine.release.version, scenario, engine.recorder.entries(), engine.plugin.root)


@pytest.fixture
def fresh(machine: Machine) -> Machine:
    """Return a machine whose engine has just started and has not called its plugin yet."""
    machine.end_engine()
    machine.dockerd.forget_volumes()
    machine.recorder.forget()
    machine.dockerd.start()
    return machine


@pytest.fixture(scope="session")
def podman_machine(image_root: bytes) -> Iterator[PodmanMachine]:
    """Yield one machine for all tests of Podman."""
    made = PodmanMachine()
    try:
        made.start(image_root)
        yield made
    finally:
        made.close()


@pytest.fixture
def podman(podman_machine: PodmanMachine, request: pytest.FixtureRequest) -> Iterator[PodmanMachine]:
    """Yield Podman without containers and volumes."""
    podman_machine.reset()
    yield podman_machine
    if scenario := find_scenario(request):
        record(podman_machine.engine, scenario, podman_machine.recorder.entries(), podman_machine.plugin.root)
