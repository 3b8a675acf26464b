"""On the machine: run the tests in guests. In a guest: fixtures for the server, three hosts, and pyvol."""

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
    """Yield the running NFS server."""
    return NfsServer()


@pytest.fixture(scope="session")
def find_host(kernel_server: NfsServer) -> Callable[[str], Host]:
    """Yield a function that returns the host with a name, and creates it at the first call."""
    return functools.cache(lambda name: Host(name, NAMES.index(name) + 1))


@pytest.fixture
def server(kernel_server: NfsServer) -> NfsServer:
    """Return the server with empty exports."""
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
    """Yield pyvol with a local pool on the first host, once per module, because a start takes seconds."""
    made = Daemon(find_host("one"), tmp_path_factory.mktemp("pyvol"))
    made.start()
    yield made
    made.end()


@pytest.fixture
def pyvol(server: NfsServer, daemon: Daemon) -> Iterator[Daemon]:
    """Return pyvol without volumes."""
    yield daemon
    server.reset()
    daemon.let_go()
    daemon.empty()
    await_true(lambda: not daemon.host.mounts(), f"{daemon.host.mounts()} to be unmounted")


@pytest.fixture
def nas(kernel_server: NfsServer, daemon: Daemon) -> Iterator[Daemon]:
    """Return the daemon of a module that has its own daemon with pools on the server, without volumes."""
    yield daemon
    kernel_server.hint()
    daemon.let_go()
    daemon.empty()
