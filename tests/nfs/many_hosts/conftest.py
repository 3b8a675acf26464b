"""Pyvol on three hosts, for all tests of the directory: a start takes seconds."""

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
    """Pyvol on hosts, each with the same pool."""
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
    """Pyvol on three hosts, each with the same pool."""
    with shared_pools(tmp_path_factory.mktemp("pyvol"), *map(find_host, NAMES)) as made:
        yield made


@pytest.fixture
def nas(kernel_server: NfsServer, daemons: list[Daemon]) -> Iterator[list[Daemon]]:
    """The same with nothing on them."""
    yield daemons
    kernel_server.hint()
    for daemon in daemons:
        daemon.let_go()
    for daemon in daemons:
        daemon.empty()
