"""Which daemon a command talks to if the user names none."""

import gc
import json
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyvol.cli.commands.daemon.doctor import doctor_
from pyvol.cli.sockets import find_engine, find_socket, plugin_id
from pyvol.client.docker_api import Engine
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import BadSetting, DaemonUnreachable, EngineUnreachable

ID = "0123456789abcdef" * 4


def listen(path: Path) -> socket.socket:
    """Listen on a socket."""
    path.parent.mkdir(exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run as a user other than root."""
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_the_daemon_on_the_host_comes_before_the_managed_plugin(scratch: Path) -> None:
    """A socket that no daemon serves is skipped; without any daemon, the error names the default."""
    default = scratch / "pyvol.sock"
    managed = scratch / ID / "pyvol.sock"
    assert find_socket(None, default) == default
    with listen(managed):
        assert find_socket(None, default) == managed
        listen(default).close()
        assert find_socket(None, default) == managed
        default.unlink()
        with listen(default):
            assert find_socket(None, default) == default
    assert find_socket("/else/where.sock", default) == Path("/else/where.sock")


def test_several_plugins_are_ambiguous(scratch: Path) -> None:
    """The user has to name one of them."""
    with (
        listen(scratch / ID / "pyvol.sock"),
        listen(scratch / ID[::-1] / "pyvol.sock"),
        pytest.raises(BadSetting, match="name one with --socket"),
    ):
        find_socket(None, scratch / "pyvol.sock")


def test_the_socket_of_a_plugin_contains_its_id() -> None:
    """With the id, the engine gives the name of the plugin."""
    assert plugin_id(Path(f"/run/docker/plugins/{ID}/pyvol.sock")) == ID
    assert plugin_id(Path("/run/docker/plugins/pyvol.sock")) is None


def test_inside_the_plugin_the_mount_table_contains_its_id(tmp_path: Path) -> None:
    """Docker mounts the directory of the plugin where the host has the directories of all plugins."""
    (tmp_path / "self").mkdir()
    table = f"8 1 0:9 / /run rw - tmpfs t rw\n9 8 0:2 /docker/plugins/{ID} /run/docker/plugins rw - tmpfs t rw\n"
    (tmp_path / "self/mountinfo").write_text(table)
    assert plugin_id(Path("/run/docker/plugins/pyvol.sock"), str(tmp_path)) == ID
    assert plugin_id(Path("/run/pyvol.sock"), str(tmp_path)) is None


def test_the_socket_of_the_engine_is_found(tmp_path: Path) -> None:
    """First at its usual path, then at the host's path; without an engine, the error names the usual path."""
    places = [tmp_path / "docker.sock", tmp_path / "hosts.sock"]
    assert find_engine(places) == places[0]
    places[1].touch()
    assert find_engine(places) == places[1]
    places[0].touch()
    assert find_engine(places) == places[0]


def test_a_user_who_is_not_root_gets_a_hint(scratch: Path) -> None:
    """Only root may use the sockets of Docker and of pyvol: the error says to use sudo."""
    default = scratch / "plugins" / "pyvol.sock"
    with listen(default), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # requests-unixsocket leaves a socket that found nobody open
        asked = ["--socket", str(default), "--engine", "/nonexistent.sock", "--json"]
        CliRunner().invoke(
            doctor_, ["--socket", "/nonexistent.sock", *asked[2:]]
        )  # imports modules that only root may read
        scratch.chmod(0o700)
        with as_nobody():
            row = json.loads(CliRunner().invoke(doctor_, asked).stdout)[0]
            assert (row["check"], "`sudo`" in row["hint"]) == ("socket", True)
            found = find_socket(None, default)
            with (
                Client(found) as asking,
                pytest.raises(DaemonUnreachable, match="only root may, so put `sudo` before"),
            ):
                asking.volumes()
        scratch.chmod(0o755)
        default.chmod(0o600)
        with as_nobody():
            doctor_.make_context("doctor", ["--engine", str(default)])
            with (
                Engine(default) as engine,
                pytest.raises(EngineUnreachable, match=r"\(Permission denied\): put `sudo`"),
            ):
                engine.volumes()
        gc.collect()
