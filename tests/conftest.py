"""Fixtures for every tier: the core in this process, and a daemon on a socket."""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.built import build_plugin
from engine.images import build_root
from engine.registry import Registry
from engine.releases import MANAGED, find_release, order, wanted_versions
from hosts import Hosts
from house import House
from served import Served

Building = Future[Path]

# What people set for their terminals, and what changes the output of a command.
TERMINAL_SETTINGS = ("CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "PYTHON_COLORS")


@pytest.fixture(scope="session", autouse=True)
def terminal() -> Iterator[None]:
    """The same terminal settings for every run, also where TERM is `dumb` or colours are switched off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        for name in TERMINAL_SETTINGS:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def closed_houses() -> Iterator[None]:
    """Close the houses that a test has left open: later Pythons warn of a database that nobody closes.

    A house of a wider fixture was open before, and stays open for the next test.
    """
    before = House.count_open()
    yield
    House.close_after(before)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory in memory, where fsync is fast."""
    path = Path(tempfile.mkdtemp(prefix="pyvol-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def house(scratch: Path) -> Iterator[House]:
    """The core over a real catalog and real pools, with a clock and a kernel that the test controls."""
    made = House(scratch)
    yield made
    made.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """A house outside the system directories, so that it may adopt directories beside its pool."""
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture
def hosts(scratch: Path) -> Iterator[Hosts]:
    """Yield two hosts that share a pool."""
    made = Hosts(scratch)
    yield made
    made.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A daemon on a socket."""
    daemon = Served(tmp_path)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="session")
def image_root() -> bytes:
    """The root file system of the test image."""
    return build_root()


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """Yield one registry for the whole run."""
    made = Registry()
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session", autouse=True)
def building(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Building | None]:
    """The managed plugin, which is built while tests run that do not need it."""
    if not any("built" in getattr(item, "fixturenames", ()) or is_managed(item) for item in request.session.items):
        yield None
        return
    registry: Registry = request.getfixturevalue("registry")
    target = tmp_path_factory.mktemp("built") / "plugin"
    release = find_release(min(wanted_versions(), key=order))
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(build_plugin, release, registry.plugin, target)


def is_managed(item: pytest.Item) -> bool:
    """Return whether a test runs with the managed plugin."""
    return (
        isinstance(item, pytest.Function) and hasattr(item, "callspec") and item.callspec.params.get("way") == MANAGED
    )


@pytest.fixture(scope="session")
def built(building: Building | None) -> Path:
    """The result of `make plugin`, as a directory; `make plugin-push` has pushed it."""
    assert building is not None
    return building.result()


@pytest.fixture(scope="session")
def published(built: Path, registry: Registry) -> Registry:
    """Return the registry that has the plugin."""
    return registry
