"""The managed plugin with NFS: with one engine, and in a swarm of two whose service moves with its data."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from deadline import await_true
from engine.images import BOX

from .engine import Engine
from .hosts import Host
from .server import NfsServer

pytestmark = [pytest.mark.guest, pytest.mark.engine, pytest.mark.engine_disks]

COMPOSE = f"""
services:
  web:
    image: {BOX}
    network_mode: none
    pull_policy: never
    command: ["sh", "-c", "hostname >> /data/file; trap 'exit 0' TERM; sleep 600 & wait $$!"]
    hostname: from-a-container
    volumes: ["data:/data"]
volumes:
  data:
    driver: pyvol
"""
DISKS = {"one": Path("/dev/ubdb"), "two": Path("/dev/ubdc")}
ADDRESSES = {"one": "10.99.0.1", "two": "10.99.0.2"}
SUBNETS = "10.99.64.0/20"
SCRIPT = "trap 'exit 0' TERM; hostname >> /data/hosts; sleep 600 & wait $!"


class Node(Engine):
    """An engine on its own host, with the managed plugin, whose default pool is on the server."""

    def __init__(self, host: Host, directory: Path) -> None:
        super().__init__(host, directory, DISKS[host.name])
        self.start()
        for name in ("pool", "paths"):
            (directory / name).mkdir()
        self.docker("plugin", "set", "pyvol", f"data.source={directory}/pool", f"paths.source={directory}/paths")
        self.docker("plugin", "set", "pyvol", "PYVOL_NFS_EXPORT=nas.lan:/export/main", "PYVOL_SCOPE=global")
        self.docker("plugin", "enable", "pyvol")

    def crash(self) -> None:
        """Kill the plugin with SIGKILL; its engine starts it again."""
        tasks = self._directory / "exec/containerd/daemon/io.containerd.runtime.v2.task/plugins.moby"
        (pid,) = tasks.glob("*/init.pid")
        os.kill(int(pid.read_text()), signal.SIGKILL)

    def disable(self) -> None:
        """Disable the plugin, and wait until its engine has removed its mounts, which it does later."""
        self.docker("plugin", "disable", "--force", "pyvol")
        plugins = f"{self._directory}/data/plugins/"
        await_true(lambda: plugins not in self.host.mountinfo(), "the engine to remove the plugin's mounts")

    def refused(self, *words: str) -> str:
        """Run a docker command that must fail, and return its error."""
        with pytest.raises(AssertionError) as refused:
            self.docker(*words)
        return str(refused.value)


@pytest.fixture(scope="module")
def find_node(
    find_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Node]]:
    """Yield a function that returns the node of a host, and creates it at the first call."""
    made: dict[str, Node] = {}

    def find(name: str) -> Node:
        if name not in made:
            made[name] = Node(find_host(name), tmp_path_factory.mktemp("node"))
        return made[name]

    yield find
    for node in made.values():
        node.stop()


def test_a_compose_file_writes_to_the_share(
    tmp_path: Path, kernel_server: NfsServer, find_node: Callable[[str], Node]
) -> None:
    """With the export set, a Compose file with only `driver: pyvol` has its data on the server."""
    node = find_node("one")
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    node.docker("compose", "--project-name", "p", "up", "--detach", cwd=tmp_path)
    file = kernel_server.path("main") / "volumes/p_data/_data/file"
    await_true(lambda: file.exists() and file.read_text() == "from-a-container\n", "the container to write")
    node.docker("compose", "--project-name", "p", "down", "--volumes", "--timeout", "1", cwd=tmp_path)
    assert not file.exists()
    assert len(list((kernel_server.path("main") / "trash").iterdir())) == 1


def keepers() -> list[Path]:
    """Return the processes that keep locks for the next pyvol."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if b"pyvol.host.processes.fd_store_server" in file.read_bytes():
                found.append(file)
    return found


def test_the_plugin_ends_under_a_container(kernel_server: NfsServer, find_node: Callable[[str], Node]) -> None:
    """After a crash or a disable the container writes on; no lock stays, and the volume can be used again."""
    node = find_node("one")
    file = kernel_server.path("main") / "volumes/near/_data/file"
    node.docker(
        "run",
        "--detach",
        "--network=none",
        "--volume=near:/v",
        "--volume-driver=pyvol",
        "--name=box",
        BOX,
        "sleep",
        "600",
    )
    write = ("exec", "box", "sh", "-c", "echo more >>/v/file; wc -l </v/file")
    again = ("run", "--rm", "--network=none", "--volume=near:/v", BOX, "sh", "-c", "echo more >>/v/file")
    assert node.docker(*write) == "1\n"
    node.crash()
    assert node.docker(*write) == "2\n"
    node.docker(*again)
    assert keepers()
    node.disable()
    await_true(lambda: not keepers(), "the process that keeps its locks to end")
    assert node.docker(*write) == "4\n"
    node.docker("plugin", "enable", "pyvol")
    node.docker(*again)
    assert file.read_text() == "more\n" * 5
    assert "in use" in node.refused("volume", "rm", "near")
    node.docker("rm", "--force", "box")
    node.docker("volume", "rm", "near")


def test_a_dead_server_does_not_hold_the_plugin_up(kernel_server: NfsServer, find_node: Callable[[str], Node]) -> None:
    """With a dead server a mount fails with an error, and the plugin can be disabled and enabled."""
    node = find_node("one")
    node.docker("volume", "create", "--driver=pyvol", "far")
    kernel_server.vanish("nas.lan")
    run = ("run", "--rm", "--network=none", "--volume=far:/far", BOX, "true")
    assert "nas.lan does not answer" in node.refused(*run)
    node.disable()
    node.docker("plugin", "enable", "pyvol")
    assert "far" in node.docker("volume", "ls", "--quiet").split()
    kernel_server.appear("nas.lan")

    def runs() -> bool:
        try:
            node.docker(*run)
        except AssertionError:
            return False
        return True

    await_true(runs, "the volume to be back")
    node.docker("volume", "rm", "far")


def test_a_service_moves_and_its_data_follow(kernel_server: NfsServer, find_node: Callable[[str], Node]) -> None:
    """In a swarm with the pool on the server, a task that moves to another node finds its data there."""
    manager, worker = find_node("one"), find_node("two")
    manager.docker("swarm", "init", "--advertise-addr", ADDRESSES["one"], "--default-addr-pool", SUBNETS)
    token = manager.docker("swarm", "join-token", "--quiet", "worker").strip()
    worker.docker("swarm", "join", "--token", token, "--advertise-addr", ADDRESSES["two"], f"{ADDRESSES['one']}:2377")
    mount = "type=volume,source=data,target=/data,volume-driver=pyvol"
    words = ["--detach", "--no-resolve-image", "--name=web", "--network=host", "--constraint=node.hostname==two"]
    manager.docker("service", "create", *words, f"--mount={mount}", BOX, "sh", "-c", SCRIPT)
    file = kernel_server.path("main") / "volumes/data/_data/hosts"
    await_true(lambda: file.exists() and file.read_text() == "two\n", "the task on the second node to write")
    move = ["--constraint-rm=node.hostname==two", "--constraint-add=node.hostname==one"]
    manager.docker("service", "update", "--detach", "--no-resolve-image", *move, "web")
    await_true(lambda: file.read_text() == "two\none\n", "the task to move")
    assert "data" in manager.docker("volume", "ls", "--quiet").split()
    manager.docker("service", "rm", "web")

    def removed() -> bool:
        try:
            manager.docker("volume", "rm", "data")
        except AssertionError:
            return False
        return True

    await_true(removed, "the volume to be removed")
    assert "data" not in worker.docker("volume", "ls", "--quiet").split()
