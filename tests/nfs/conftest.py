"""Outside a guest: hands the tests to one. Inside: the server, three hosts, and pyvol on them."""

import functools
from collections.abc import Callable, Iterator

import pytest

from deadline import await_true

from .daemon import Daemon
from .hosts import Host
from .outside import Outside, is_guest
from .server import NfsServer

NAMES = ("one", "two", "three")


def pytest_configure(config: pytest.Config) -> None:
    """Run these tests in guests."""
    if not is_guest():
        config.pluginmanager.register(Outside())


@pytest.fixture(scope="session")
def kernel_server() -> NfsServer:
    """The server, up."""
    return NfsServer()


@pytest.fixture(scope="session")
def find_host(kernel_server: NfsServer) -> Callable[[str], Host]:
    """Finds a host by its name; it is made when it is first asked for."""
    return functools.cache(lambda name: Host(name, NAMES.index(name) + 1))


@pytest.fixture
def server(kernel_server: NfsServer) -> NfsServer:
    """The server with nothing on it."""
    kernel_server.reset()
    return kernel_server


def _host(name: str) -> Callable[..., Iterator[Host]]:
    @pytest.fixture(name=name)
    def fixture(server: NfsServer, find_host: Callable[[str], Host]) -> Iterator[Host]:
        host = find_host(name)
        yield host
        server.reset()
        host.reset()

    return fixture


one, two, three = map(_host, NAMES)


@pytest.fixture(scope="module")
def daemon(find_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Pyvol on the first host, with a local pool; one for all tests of a module, for a start takes seconds."""
    made = Daemon(find_host("one"), tmp_path_factory.mktemp("pyvol"))
    made.start()
    yield made
    made.end()


@pytest.fixture
def pyvol(server: NfsServer, daemon: Daemon) -> Iterator[Daemon]:
    """Pyvol with nothing on it."""
    yield daemon
    server.reset()
    daemon.let_go()
    daemon.empty()
    await_true(lambda: not daemon.host.mounts(), f"{daemon.host.mounts()} to be unmounted")


@pytest.fixture
def nas(kernel_server: NfsServer, daemon: Daemon) -> Iterator[Daemon]:
    """A module's own daemon, which has pools on the server, with nothing on it."""
    yield daemon
    kernel_server.hint()
    daemon.let_go()
    daemon.empty()
