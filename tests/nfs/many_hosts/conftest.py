"""Fixtures: pyvol on three hosts, once for all tests of the directory, because a start takes seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nfs.conftest import NAMES
from nfs.daemon import Daemon
from nfs.hosts import Host
from nfs.server import NfsServer

POOL = '[pools.nas]\nkind = "nfs"\nexport = "nas.lan:/export/main"\noptions = "{}"\n'


@contextmanager
def shared_pools(directory: Path, *hosts: Host, options: str = "", **settings: str) -> Iterator[list[Daemon]]:
    """Yield pyvol on these hosts with one pool."""
    daemons = []
    for host in hosts:
        (directory / host.name).mkdir()
        daemon = Daemon(host, directory / host.name, **settings)
        daemon.configure(POOL.format(options))
        daemon.start()
        daemons.append(daemon)
    yield daemons
    for daemon in daemons:
        daemon.end()


@pytest.fixture(scope="session")
def daemons(find_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Daemon]]:
    """Yield pyvol on three hosts with one pool."""
    with shared_pools(tmp_path_factory.mktemp("pyvol"), *map(find_host, NAMES)) as made:
        yield made


@pytest.fixture
def nas(kernel_server: NfsServer, daemons: list[Daemon]) -> Iterator[list[Daemon]]:
    """Return the three daemons without volumes."""
    yield daemons
    kernel_server.hint()
    for daemon in daemons:
        daemon.let_go()
    for daemon in daemons:
        daemon.empty()
