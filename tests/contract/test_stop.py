"""The daemon's stop while its threads are busy."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadline import await_true
from served import Served

STOP_LIMIT_S = 10.0
"""How long `docker plugin disable` waits."""


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """Accept connections and never answer; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def daemon_of(tmp_path: Path, port: int) -> Served:
    """Return a daemon with a pool on a server of this host, and a port for metrics."""
    settings = tmp_path / "pyvol.toml"
    settings.write_text(f'[pools.nas]\nkind = "nfs"\nexport = "127.0.0.1:/export"\noptions = "port={port}"\n')
    settings.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as free:
        metrics_port = str(free.getsockname()[1])
    return Served(tmp_path, CONFIG=str(settings), NFS_TIMEOUT="50s", METRICS_PORT=metrics_port)


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_stop_does_not_wait_for_a_server(tmp_path: Path, *, is_silent: bool) -> None:
    """A watcher that waits for a server without an answer delays no stop, and logs no error at its end."""
    with silent_server() as silent:
        daemon = daemon_of(tmp_path, silent if is_silent else 1)
        daemon.start()
        if is_silent:
            daemon.ok("VolumeDriver.Create", {"Name": "v"})
        else:
            await_true(lambda: "pool is out of reach" in daemon.log.read_text())
        begun = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - begun < STOP_LIMIT_S
    log = daemon.log.read_text()
    assert "Traceback" not in log
    assert ("pool is out of reach" in log) is not is_silent


def test_a_slow_client_of_the_metrics_port_does_not_delay_a_stop(tmp_path: Path) -> None:
    """A client that sends one byte at a time keeps the port's thread busy, and does not delay a stop."""
    daemon = daemon_of(tmp_path, 1)
    daemon.start()
    port = int(daemon.environment["PYVOL_METRICS_PORT"])
    stopped = threading.Event()

    def send_slowly() -> None:
        with socket.create_connection(("127.0.0.1", port)) as client, contextlib.suppress(OSError):
            while not stopped.wait(0.2):
                client.sendall(b"G")

    client = threading.Thread(target=send_slowly)
    client.start()
    time.sleep(1)
    begun = time.monotonic()
    try:
        assert daemon.stop() == 0
        assert time.monotonic() - begun < STOP_LIMIT_S
    finally:
        stopped.set()
        client.join()
