"""A Docker engine with NFS: pyvol accepts the options of the `local` driver, and survives dead servers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deadline import await_true

from .daemon import Daemon
from .engine import Engine
from .hosts import Host
from .mountinfo import Mounted, read
from .server import NfsServer

pytestmark = [pytest.mark.guest, pytest.mark.engine]

COMPOSE = """
services:
  web:
    image: box:1
    network_mode: none
    pull_policy: never
    command: ["sh", "-c", "hostname > /data/file; exec sleep 600"]
    hostname: from-a-container
    volumes: ["data:/data"]
volumes:
  data:
    driver: local
    driver_opts:
      type: nfs
      o: addr=nas.lan,rw,vers=4
      device: ":/export/main/compose"
"""
PLUGINS = "/run/docker/plugins"
NAS = "addr=10.99.0.254"
GOOD = {
    "nfs 4.2": {"type": "nfs", "device": ":/export/main/data", "o": f"{NAS},vers=4.2"},
    "nfs by name": {"type": "nfs", "device": ":/export/main/data", "o": "addr=nas.lan,rw,vers=4.2"},
    "nfs 4.1 soft": {"type": "nfs", "device": ":/export/main/data", "o": f"{NAS},vers=4.1,soft,timeo=50,retrans=2"},
    "nfs 4.0": {"type": "nfs", "device": ":/export/main/data", "o": f"{NAS},vers=4.0,rsize=32768,wsize=32768"},
    "nfs 3": {"type": "nfs", "device": ":/export/main/data", "o": f"{NAS},nfsvers=3,nolock,soft"},
    "nfs 3 read-only": {"type": "nfs", "device": ":/export/readonly/data", "o": f"{NAS},vers=3,nolock,ro"},
    "nfs flags": {"type": "nfs", "device": ":/export/main/data", "o": f"{NAS},vers=4.2,nosuid,nodev,noexec,noatime"},
    "nfs4": {"type": "nfs4", "device": ":/export/main/data", "o": f"{NAS},vers=4.2"},
    "tmpfs": {"type": "tmpfs", "device": "tmpfs", "o": "size=10m,uid=1000"},
    "tmpfs plain": {"type": "tmpfs", "device": "tmpfs"},
    "tmpfs mode": {"type": "tmpfs", "device": "tmpfs", "o": "mode=0700,gid=1001,nr_inodes=100"},
    "tmpfs flags": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,noexec,nosuid,nodev"},
    "bind": {"type": "none", "device": "/srv/own", "o": "bind"},
    "rbind": {"type": "none", "device": "/srv/own", "o": "rbind"},
    "bind read-only": {"type": "none", "device": "/srv/own", "o": "bind,ro"},
}
BAD = {
    "nfs no such export": {"type": "nfs", "device": ":/export/none/data", "o": f"{NAS},vers=4.2"},
    "nfs no server": {"type": "nfs", "device": ":/export/main/data", "o": "vers=4.2"},
    "nfs unknown option": {"type": "nfs", "device": ":/export/main/data", "o": f"{NAS},vers=4.2,nonsense"},
    "nfs unknown version": {"type": "nfs", "device": ":/export/main/data", "o": f"{NAS},vers=9"},
    "nfs without device": {"type": "nfs", "o": f"{NAS},vers=4.2"},
    "tmpfs bad size": {"type": "tmpfs", "device": "tmpfs", "o": "size=plenty"},
    "tmpfs unknown option": {"type": "tmpfs", "device": "tmpfs", "o": "nonsense"},
    "bind of nothing": {"type": "none", "device": "/srv/nowhere", "o": "bind"},
    "none without bind": {"type": "none", "device": "/srv/own"},
    "unknown type": {"type": "nonsense", "device": "/srv/own"},
    "unknown key": {"nonsense": "yes"},
}
ADDRESSES = ("addr=", "clientaddr=", "mountaddr=", "mountport=", "mountproto=", "mountvers=")
"""Options that only mount.nfs passes to the kernel; Docker mounts without mount.nfs."""


@pytest.fixture(scope="module")
def one(kernel_server: NfsServer, find_host: Callable[[str], Host]) -> Host:
    """Yield the host of all tests in this file, with directories for its volumes."""
    for name in ("main", "readonly"):
        (kernel_server.path(name) / "data").mkdir(exist_ok=True)
    Path("/srv/own").mkdir(exist_ok=True)
    return find_host("one")


@pytest.fixture(scope="module")
def pyvol(one: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Yield pyvol at the path where the engine looks for it."""
    one.run("mkdir", "-p", PLUGINS)
    daemon = Daemon(one, tmp_path_factory.mktemp("pyvol"), SOCKET=f"{PLUGINS}/pyvol.sock")
    daemon.start()
    yield daemon
    daemon.end()


@pytest.fixture(scope="module")
def engine(one: Host, pyvol: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Yield an engine that uses pyvol."""
    made = Engine(one, tmp_path_factory.mktemp("engine"))
    made.start()
    made.import_image()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def wanted(engine: Engine) -> dict[str, str]:
    """Return the mounts of Docker's own driver, all in one container because containers are slow here."""
    return engine.mounted("local", GOOD)


def essence(line: str) -> Mounted:
    """Return the parts of a mount that must be equal: all except the server's names."""
    mounted = read(line)
    options = frozenset(option for option in mounted.options if not option.startswith(ADDRESSES))
    return mounted._replace(source=mounted.source.rpartition(":")[2], options=options)


@pytest.mark.parametrize("name", GOOD)
def test_the_mount_is_the_same(name: str, wanted: dict[str, str], pyvol: Daemon) -> None:
    """Containers see the same mount, with the same options, from pyvol and from the `local` driver."""
    pyvol.create("v", **GOOD[name])
    container = pyvol.container("v")
    assert essence(container.mount()) == essence(wanted[name])
    container.end()
    pyvol.unmount("v")
    pyvol.remove("v")


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_is_the_same(name: str, engine: Engine) -> None:
    """Pyvol refuses the same options as the `local` driver, at creation or at the container's start."""
    for driver in ("local", "pyvol"):
        with pytest.raises(RuntimeError):
            engine.mounted(driver, {name: BAD[name]})


def test_a_compose_file_goes_on_with_pyvol(tmp_path: Path, engine: Engine, kernel_server: NfsServer) -> None:
    """A Compose file with an NFS volume also works with `driver: pyvol`, which creates the path too."""
    (tmp_path / "compose.yaml").write_text(COMPOSE.replace("driver: local", "driver: pyvol"))
    engine.docker("compose", "up", "--detach", cwd=tmp_path)
    file = kernel_server.path("main") / "compose/file"
    await_true(lambda: file.exists() and file.read_text() == "from-a-container\n", "the container to write")
    engine.docker("compose", "down", "--volumes", "--timeout", "1", cwd=tmp_path)
    assert file.exists()


def test_the_engine_starts_while_a_server_is_dead(one: Host, engine: Engine, kernel_server: NfsServer) -> None:
    """An engine that starts with a dead server knows all volumes, and can use the server's volumes later."""
    far = {"type": "nfs", "device": ":/export/main/far", "o": "addr=nas.lan"}
    for name, options in (("far", far), ("near", {})):
        engine.api.call("POST", "/volumes/create", {"Name": name, "Driver": "pyvol", "DriverOpts": options})
    engine.stop()
    kernel_server.vanish("nas.lan")
    engine.start()
    assert {"far", "near"} <= engine.api.labels().keys()
    engine.run("near")
    with pytest.raises(RuntimeError, match=r"far.*nas\.lan"):
        engine.run("far")
    kernel_server.appear("nas.lan")

    def runs() -> bool:
        try:
            engine.run("far")
        except RuntimeError:
            return False
        return True

    await_true(runs, "the volume to be back")
    engine.api.remove_everything()
    assert not one.mounts()
