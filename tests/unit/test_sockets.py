"""Which daemon a command talks to where none is named."""

import socket
from pathlib import Path

import pytest

from pyvol.cli.sockets import find_engine, find_socket, plugin_id
from pyvol.core.errors import BadSetting

ID = "0123456789abcdef" * 4


def listen(path: Path) -> socket.socket:
    """Answer on a socket."""
    path.parent.mkdir(exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


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
