"""How the daemon starts and stops, and when it refuses to start."""

import fcntl
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from deadline import await_true
from served import PATIENCE_S, Served


def refused(served: Served) -> str:
    """Start a daemon that must not start; return its error message."""
    before = served.log.read_text() if served.log.exists() else ""
    process = served.launch()
    try:
        assert process.wait(PATIENCE_S) == os.EX_CONFIG
    finally:
        process.kill()
    said = served.log.read_text()[len(before) :].strip()
    assert len(said.splitlines()) == 1, said
    return said


EXIT_AT_OPENING = """
import sys
from pyvol.cli import group
from pyvol.daemon import listener
listener.open_listener = lambda *_: sys.exit(sorted({"flask", "gunicorn", "sqlite3"} & set(sys.modules)))
sys.argv = ["pyvol", "serve"]
group.main()
"""


def test_the_socket_opens_before_slow_imports(served: Served) -> None:
    """The socket opens before slow imports: Docker connects to a plugin half a second after its start."""
    opened = subprocess.run(
        [sys.executable, "-c", EXIT_AT_OPENING], env=served.environment, check=False, capture_output=True, text=True
    )
    assert opened.stderr == "[]\n"


def test_sigterm_ends_an_idle_daemon(served: Served) -> None:
    """SIGTERM ends an idle daemon with exit code 0 and removes the socket."""
    assert served.stop() == 0
    assert not served.socket.exists()


def test_a_remapped_user_can_reach_the_data(tmp_path: Path) -> None:
    """With userns-remap a container's root user can reach `_data`, but cannot list the directories above."""
    served = Served(tmp_path)
    served.root = tmp_path / "deep/er/pyvol"
    served.start()
    served.ok("VolumeDriver.Create", {"Name": "v"})
    served.stop()
    data = served.root / "volumes/v/_data"
    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in (data, *data.parents[:5])}
    assert modes == {
        "deep": 0o755,
        "deep/er": 0o755,
        "deep/er/pyvol": 0o711,
        "deep/er/pyvol/volumes": 0o711,
        "deep/er/pyvol/volumes/v": 0o711,
        "deep/er/pyvol/volumes/v/_data": 0o755,
    }


def test_a_second_daemon_on_the_same_state_is_refused(served: Served, tmp_path: Path) -> None:
    """A second daemon with the same state directory exits with code 78, and the first one works on."""
    second = Served(tmp_path / "second")
    (tmp_path / "second").mkdir()
    second.root = served.root
    assert f"another pyvol uses {served.root}" in refused(second)
    served.ok("VolumeDriver.Capabilities", {})


def test_a_second_daemon_on_the_same_pool_is_refused(served: Served, tmp_path: Path) -> None:
    """A second daemon with the same root is refused; it would delete the first daemon's staging files."""
    (tmp_path / "second").mkdir()
    second = Served(tmp_path / "second", STATE_DIR=str(tmp_path / "second/state"))
    second.root = served.root
    assert f"another pyvol uses {served.root}" in refused(second)
    served.ok("VolumeDriver.Capabilities", {})


@pytest.mark.one_python
def test_a_second_daemon_on_a_pool_of_another_is_refused(tmp_path: Path) -> None:
    """A second daemon whose settings name another daemon's pool is refused until that daemon has ended."""
    (tmp_path / "fast").mkdir()
    config = tmp_path / "pyvol.toml"
    config.write_text(f'[pools.fast]\npath = "{tmp_path}/fast"\n')
    config.chmod(0o600)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first, second = (Served(tmp_path / name, CONFIG=str(config)) for name in ("first", "second"))
    first.start()
    try:
        assert (
            f"pool 'fast' cannot be used: another pyvol, or another pool of this one, uses {tmp_path}/fast"
            in refused(second)
        )
        first.ok("VolumeDriver.Create", {"Name": "v", "Opts": {"pool": "fast"}})
    finally:
        first.kill()
    second.start()
    assert [volume["Name"] for volume in second.ok("VolumeDriver.List", {})["Volumes"]] == ["v"]
    second.stop()


def test_a_second_daemon_on_the_same_socket_is_refused(served: Served, tmp_path: Path) -> None:
    """A second daemon with the socket of a daemon that answers is refused."""
    second = Served(tmp_path / "second")
    (tmp_path / "second").mkdir()
    second.socket = served.socket
    assert f"another daemon answers on {served.socket}" in refused(second)
    served.ok("VolumeDriver.Capabilities", {})


@pytest.mark.parametrize(
    ("settings", "summary"),
    [
        ({"SCOPE": "everywhere"}, "setting scope"),
        ({"ROOT": "/proc/pyvol"}, "setting root is invalid: /proc/pyvol cannot be created"),
        ({"STATE_DIR": "/proc"}, "setting state_dir"),
        ({"SOCKET": "/proc/p.sock"}, "setting socket"),
        ({"CONFIG": "/nonexistent.toml"}, "does not exist"),
        ({"TRASH_KEEP": "soon"}, "setting trash_keep"),
    ],
)
def test_bad_settings_give_one_error(tmp_path: Path, settings: dict[str, str], summary: str) -> None:
    """A bad setting gives one error and exit code 78, and no socket."""
    served = Served(tmp_path, **settings)
    assert summary in refused(served)
    assert not served.socket.exists()


def test_a_socket_that_is_a_file_is_left(tmp_path: Path) -> None:
    """A regular file at the socket's path is refused and kept."""
    served = Served(tmp_path)
    served.socket.write_text("another program's")
    assert "exists and is not a socket" in refused(served)
    assert served.socket.read_text() == "another program's"


def test_a_catalog_of_a_newer_pyvol_is_left(served: Served) -> None:
    """A catalog of a newer pyvol is refused before anything is written."""
    served.stop()
    with sqlite3.connect(served.root / "pyvol.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert served.launch().wait(PATIENCE_S) == os.EX_CONFIG
    assert "a newer pyvol wrote it" in served.log.read_text()


def test_a_catalog_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    """A catalog that cannot be opened gives exit code 1, not 78, so that systemd tries again."""
    served = Served(tmp_path)
    (served.root / "pyvol.db").mkdir(parents=True)
    assert served.launch().wait(PATIENCE_S) == 1
    assert "pyvol.db cannot be used" in served.log.read_text()


def test_a_daemon_starts_after_kill_9(served: Served) -> None:
    """After kill -9 the worker is dead, the lock is free, and the next daemon knows all volumes."""
    served.ok("VolumeDriver.Create", {"Name": "v"})
    served.kill()
    served.start()
    served.ok("VolumeDriver.Get", {"Name": "v"})


def test_a_worker_that_is_killed_is_replaced(served: Served) -> None:
    """After a kill of the worker, claims and volumes are back, and the socket is still the same."""
    assert served.process is not None
    served.ok("VolumeDriver.Create", {"Name": "v"})
    served.ok("VolumeDriver.Mount", {"Name": "v", "ID": "i"})
    inode = served.socket.stat().st_ino
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    assert served.ok("VolumeDriver.Get", {"Name": "v"})["Volume"]["Status"]["claims"] == "1"
    assert served.socket.stat().st_ino == inode


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTTIN, signal.SIGUSR2, signal.SIGWINCH])
def test_gunicorns_other_signals_do_nothing(served: Served, number: signal.Signals) -> None:
    """Gunicorn's other signals neither end a worker nor start a second worker."""
    assert served.process is not None
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
    before = children.read_text()
    for pid in (served.process.pid, *map(int, before.split())):
        os.kill(pid, number)
    for _ in range(20):
        served.ok("VolumeDriver.Capabilities", {})
    assert children.read_text() == before


def unread(connection: socket.socket) -> int:
    """Return the memory of the bytes that the daemon has not read yet."""
    return int.from_bytes(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def test_requests_in_progress_are_finished(served: Served) -> None:
    """SIGTERM lets requests in progress finish."""
    assert served.process is not None
    body = b'{"Name":"v"}'
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(served.socket))
        head = f"POST /VolumeDriver.Create HTTP/1.1\r\nHost: \r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:5])
        await_true(lambda: unread(connection) == 0, "the first half of the request to be read")
        served.process.terminate()
        connection.sendall(body[5:])
        assert connection.recv(12) == b"HTTP/1.1 200"
    assert served.process.wait(PATIENCE_S) == 0
    served.start()
    served.ok("VolumeDriver.Get", {"Name": "v"})


def test_socket_activation(tmp_path: Path) -> None:
    """With a listening socket from systemd, the daemon serves it and leaves it in place at the end."""
    served = Served(tmp_path)
    with served.log.open("wb") as log:
        served.process = subprocess.Popen(
            ["systemd-socket-activate", "-l", str(served.socket), *_inherited(served), *_serve()],
            env=served.environment,
            stdout=log,
            stderr=log,
        )
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert time.monotonic() < deadline
        try:
            served.ok("VolumeDriver.Create", {"Name": "v"})
            break
        except (FileNotFoundError, ConnectionRefusedError):  # not bound yet, or bound and not listening yet
            time.sleep(0.01)
    inode = served.socket.stat().st_ino
    assert served.stop() == 0
    assert served.socket.stat().st_ino == inode


def _inherited(served: Served) -> list[str]:
    return [f"-E{key}" for key in served.environment if key.startswith("PYVOL_")]


def _serve() -> list[str]:
    return [sys.executable, "-m", "pyvol", "serve"]


def test_more_connections_than_files_do_not_end_the_worker(tmp_path: Path) -> None:
    """Connections beyond the limit of open files wait, and the worker stays alive."""
    served = Served(tmp_path)
    served.prefix = ("prlimit", "--nofile=64:64")
    served.start()
    assert served.process is not None
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
    before = children.read_text()
    connections = [socket.socket(socket.AF_UNIX) for _ in range(150)]
    try:
        for connection in connections:
            connection.connect(str(served.socket))
    finally:
        for connection in connections:
            connection.close()
    served.ok("VolumeDriver.Create", {"Name": "v"})
    assert children.read_text() == before
    assert served.stop() == 0
