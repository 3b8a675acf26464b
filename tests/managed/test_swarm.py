"""A swarm of two nodes with the plugin, in two connected network namespaces."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from deadline import await_true
from engine.images import BOX
from engine.machine import DRIVER
from engine.managed import ManagedMachine
from engine.releases import find_release, order, wanted_versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from engine.registry import Registry
    from engine.releases import Release

pytestmark = pytest.mark.engine

ADDRESSES = ("10.99.1.1", "10.99.1.2")
SUBNETS = "10.99.64.0/20"
SCRIPT = "trap 'exit 0' TERM; echo here >> /data/file; sleep 600 & wait $!"


class Node(ManagedMachine):
    """A machine with its own network."""

    own_network = True

    def __init__(self, release: Release, image_root: bytes, registry: Registry, built: Path) -> None:
        """Store the built plugin too, because the node's network cannot reach the registry."""
        super().__init__(release, image_root, registry)
        self._built = built

    def _find_origin(self) -> Sequence[str]:
        return ["create", DRIVER, str(self._built)]


def join_by_cable(nodes: list[Node]) -> None:
    """Connect the two nodes with a veth pair, and give each end its address."""
    one, two = (node.namespace.holder for node in nodes)
    cable = ["ip", "link", "add", "cable", "netns", one, "type", "veth", "peer", "name", "cable", "netns", two]
    subprocess.run(cable, check=True)
    for node, address in zip(nodes, ADDRESSES, strict=True):
        for words in (["addr", "add", f"{address}/24", "dev", "cable"], ["link", "set", "cable", "up"]):
            node.namespace.run(["ip", *words], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


@pytest.fixture
def nodes(image_root: bytes, published: Registry, built: Path) -> Iterator[list[Node]]:
    """Yield two machines of the newest release."""
    release = find_release(max(wanted_versions(), key=order))
    made = [Node(release, image_root, published, built) for _ in ADDRESSES]
    try:
        # The namespaces of a machine die with the thread that opened them.
        for node in made:
            node.open()
        with ThreadPoolExecutor(len(made)) as pool:
            list(pool.map(Node.fill, made))
        join_by_cable(made)
        yield made
    finally:
        for node in made:
            node.close()


def test_a_global_service_has_a_volume_on_each_node(nodes: list[Node]) -> None:
    """Swarm finds the plugin; each node creates its own volume, and the service's tasks write there."""
    manager, worker = nodes
    manager.docker("swarm", "init", "--advertise-addr", ADDRESSES[0], "--default-addr-pool", SUBNETS)
    token = manager.docker("swarm", "join-token", "--quiet", "worker")
    worker.docker("swarm", "join", "--token", token, "--advertise-addr", ADDRESSES[1], f"{ADDRESSES[0]}:2377")
    plugins = json.loads(manager.docker("node", "inspect", "self", "--format", "{{json .Description.Engine.Plugins}}"))
    assert {"Type": "Volume", "Name": "pyvol:latest"} in plugins
    mount = "type=volume,source=data,target=/data,volume-driver=pyvol,volume-opt=mode=0711"
    service = ["--detach", "--no-resolve-image", "--name", "web", "--mode", "global", "--network", "host"]
    manager.docker("service", "create", *service, "--mount", mount, BOX, "sh", "-c", SCRIPT)

    for node in nodes:
        await_true((node.data("data") / "file").exists, "a task on each node to write")
        assert node.data("data").stat().st_mode & 0o777 == 0o711
        assert node.volumes() == ["data"]
        assert [claim.count for claim in node.claims("data")] == [1]
    manager.docker("service", "rm", "web")
    await_true(lambda: not any(node.claims("data") for node in nodes), "the tasks to end")
