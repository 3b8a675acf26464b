"""Which daemon a command talks to where none is named."""

import socket
from pathlib import Path

import pytest

from pyvol.cli.sockets import find_socket, plugin_id
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
