"""Servers whose workers do not answer, and servers that cannot be probed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deadline import await_true
from fakes import FakeLog
from nullserver import NullServer
from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import Space
from pyvol.host.processes.worker_pool import Message, WorkerLost
from pyvol.storage.nfs import worker
from pyvol.storage.remote.mount_messages import OwnMount, Unmount
from pyvol.storage.remote.server import Server
from pyvol.storage.remote.servers import Servers
from shares import WorkersHere


class SlowWorkers(WorkersHere):
    """Workers that a test can make slow.

    Attributes:
        is_slow: whether no request ends in time.
        patience_s: how long the last request would have waited.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_slow = False
        self.patience_s = 0.0

    def call(self, request: Message, patience_s: float, look: Callable[[], None]) -> Message:
        """See `WorkerPool.call`."""
        self.patience_s = patience_s
        if self.is_slow:
            raise WorkerLost("no answer in time")
        return super().call(request, patience_s, look)


@pytest.fixture
def workers() -> SlowWorkers:
    """Workers, which are not slow yet."""
    return SlowWorkers()


@pytest.fixture
def nas() -> Iterator[NullServer]:
    """A server that answers."""
    server = NullServer()
    yield server
    server.stop()


def make_server(port: int | None, workers: SlowWorkers, log: FakeLog) -> Server:
    """Return a server whose probes are not slow."""
    return Server("127.0.0.1", port, 0.5, log, worker=worker.__name__, workers=workers, prober=WorkersHere())


def test_a_server_that_answers_and_does_nothing_is_not_down(
    tmp_path: Path, nas: NullServer, workers: SlowWorkers
) -> None:
    """The request fails, and the next one is tried."""
    log = FakeLog()
    server = make_server(nas.port, workers, log)
    workers.is_slow = True
    with pytest.raises(StorageFailed, match=r"answers, but a request did not end within 7 s.*no answer in time"):
        server.ask(OwnMount("v", str(tmp_path)), Space, 7.0)
    assert not server.is_down()
    workers.is_slow = False
    server.ask(OwnMount("v", str(tmp_path)), Space)
    assert log.events == []
    server.stop()


def test_a_server_that_cannot_be_probed_is_known_by_its_requests(tmp_path: Path, workers: SlowWorkers) -> None:
    """A request that takes too long makes it down; after a while the next request finds out more."""
    log = FakeLog()
    server = make_server(None, workers, log)
    back: list[bool] = []
    server.when_back(lambda: back.append(True))
    request = OwnMount("v", str(tmp_path))
    server.ask(request, Space)
    assert workers.patience_s == 0.5  # no longer than a dead server may take
    assert "answers" in server.summary()
    workers.is_slow = True
    with pytest.raises(StorageFailed, match=r"127.0.0.1 does not answer"):
        server.ask(request, Space)
    await_true(lambda: back == [True])
    workers.is_slow = False
    server.ask(request, Space)
    assert log.events == ["NFS server does not answer", "NFS server answers again"]
    server.stop()


def test_files_for_a_server_that_is_down_are_closed(tmp_path: Path, nas: NullServer, workers: SlowWorkers) -> None:
    """They are duplicates: the lock stays. What the kernel does alone is tried all the same."""
    server = make_server(nas.port, workers, FakeLog())
    nas.stop()
    for _ in range(2):
        file = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(StorageFailed, match="does not answer"):
            server.ask(OwnMount("v", str(tmp_path)), Space, files=[file])
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(file)
    workers.is_slow = True
    with pytest.raises(StorageFailed, match="does not answer"):
        server.force(Unmount(str(tmp_path)), bool)
    server.stop()


def test_a_server_is_one_object(nas: NullServer) -> None:
    """All pools and volumes of a server share what is known of it."""
    servers = Servers(1.0, FakeLog(), worker=worker.__name__)
    assert servers.at("127.0.0.1", nas.port) is servers.at("127.0.0.1", nas.port)
    assert servers.at("127.0.0.1", nas.port) is not servers.at("127.0.0.1", None)
