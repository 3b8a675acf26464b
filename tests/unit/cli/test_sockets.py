"""Which daemon a command talks to where none is named."""

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
    """Answer on a socket."""
    path.parent.mkdir(exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be somebody who is not root."""
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_the_hosts_own_comes_first_then_the_plugins(scratch: Path) -> None:
    """A socket that nobody serves is passed over; without any, the default is named in the error that follows."""
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


def test_several_plugins_have_to_be_told_apart(scratch: Path) -> None:
    """Which one is meant the user has to say."""
    with (
        listen(scratch / ID / "pyvol.sock"),
        listen(scratch / ID[::-1] / "pyvol.sock"),
        pytest.raises(BadSetting, match="name one with --socket"),
    ):
        find_socket(None, scratch / "pyvol.sock")


def test_a_plugins_socket_tells_its_id() -> None:
    """By which the engine is asked for its name."""
    assert plugin_id(Path(f"/run/docker/plugins/{ID}/pyvol.sock")) == ID
    assert plugin_id(Path("/run/docker/plugins/pyvol.sock")) is None


def test_in_the_plugin_the_kernel_tells_its_id(tmp_path: Path) -> None:
    """Docker mounts the plugin's own directory where the host has those of all."""
    (tmp_path / "self").mkdir()
    table = f"8 1 0:9 / /run rw - tmpfs t rw\n9 8 0:2 /docker/plugins/{ID} /run/docker/plugins rw - tmpfs t rw\n"
    (tmp_path / "self/mountinfo").write_text(table)
    assert plugin_id(Path("/run/docker/plugins/pyvol.sock"), str(tmp_path)) == ID
    assert plugin_id(Path("/run/pyvol.sock"), str(tmp_path)) is None


def test_an_engine_is_looked_for(tmp_path: Path) -> None:
    """In its own place, then in the host's; where there is none, its own place is named in the error that follows."""
    places = [tmp_path / "docker.sock", tmp_path / "hosts.sock"]
    assert find_engine(places) == places[0]
    places[1].touch()
    assert find_engine(places) == places[1]
    places[0].touch()
    assert find_engine(places) == places[0]


def test_who_is_not_root_is_told_so(scratch: Path) -> None:
    """Docker's directory of sockets is root's, and so is the engine's socket: the error says what to put before."""
    default = scratch / "plugins" / "pyvol.sock"
    with listen(default), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # requests-unixsocket leaves a socket that found nobody open
        asked = ["--socket", str(default), "--engine", "/nonexistent.sock", "--json"]
        CliRunner().invoke(
            doctor_, ["--socket", "/nonexistent.sock", *asked[2:]]
        )  # what it imports may be root's to read
        scratch.chmod(0o700)
        with as_nobody():
            row = json.loads(CliRunner().invoke(doctor_, asked).stdout)[0]
            assert (row["check"], "`sudo`" in row["hint"]) == ("socket", True)
            found = find_socket(None, default)
            with (
                Client(found) as asking,
                pytest.raises(DaemonUnreachable, match="for root alone, so put `sudo` before"),
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
