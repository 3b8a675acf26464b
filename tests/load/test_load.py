"""Many clients at once: the claims are exact at the end, and no client waits for another volume."""

import itertools
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from house import House
from pyvol.core.model.volume import Volume
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.local.pool import LocalPool
from pyvol.storage.paths.allowed import AdoptablePaths
from served import Served

CLIENTS = 64


def at_once(work: Callable[[int], None]) -> None:
    """Run the work of 64 clients, all of which begin together."""
    begin = threading.Barrier(CLIENTS)

    def client(number: int) -> None:
        begin.wait(60)
        work(number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(client, number) for number in range(CLIENTS)]:
            done.result(120)


def test_64_clients_on_one_volume(served: Served) -> None:
    """Claims are exact after 64 clients mount and unmount a volume with own and shared IDs (facts 7, 11)."""
    served.ok("VolumeDriver.Create", {"Name": "v"})

    def work(number: int) -> None:
        for mount_id in (f"own-{number}", "shared"):
            for _ in range(3):
                served.ok("VolumeDriver.Mount", {"Name": "v", "ID": mount_id})
            for _ in range(1 + number % 2):
                served.ok("VolumeDriver.Unmount", {"Name": "v", "ID": mount_id})

    at_once(work)
    with served.client() as client:
        found = {claim.mount_id: claim.count for claim in client.claims().claims}
    expected = {f"own-{number}": 2 - number % 2 for number in range(CLIENTS)}
    assert found == {**expected, "shared": sum(expected.values())}


def test_64_clients_on_many_volumes(served: Served) -> None:
    """64 clients create, use, remove and partly undelete one volume each, all at the same time."""

    def work(number: int) -> None:
        name = f"v{number}"
        served.ok("VolumeDriver.Create", {"Name": name, "Opts": {"mode": "0700"}})
        served.ok("VolumeDriver.Mount", {"Name": name, "ID": "id"})
        (served.root / "volumes" / name / "_data/file").write_text(name)
        served.ok("VolumeDriver.Unmount", {"Name": name, "ID": "id"})
        served.ok("VolumeDriver.Remove", {"Name": name})
        if number % 2:
            with served.client() as client:
                client.undelete(name)
            served.ok("VolumeDriver.Mount", {"Name": name, "ID": "again"})

    at_once(work)
    odd = {f"v{number}" for number in range(1, CLIENTS, 2)}
    with served.client() as client:
        assert {volume.name for volume in client.volumes()} == odd
        assert {(claim.volume, claim.count) for claim in client.claims().claims} == {(name, 1) for name in odd}
        assert {volume.name for volume in client.trash()} == {f"v{number}" for number in range(0, CLIENTS, 2)}
    for name in odd:
        assert (served.root / "volumes" / name / "_data/file").read_text() == name


def test_64_clients_create_one_name(served: Served) -> None:
    """64 clients create the same name: all succeed, and there is one volume (fact 12)."""
    at_once(lambda _: served.ok("VolumeDriver.Create", {"Name": "v", "Opts": None}))
    assert len(served.ok("VolumeDriver.List", {})["Volumes"]) == 1


def test_creates_and_removes_of_one_name_leave_it_whole(served: Served) -> None:
    """Creates, removes and mounts of one name in any order succeed, and the doctor finds no problem."""
    verbs = itertools.cycle(["Create", "Remove", "Mount", "Unmount"])
    plan = [random.Random(number).sample([next(verbs) for _ in range(8)], 8) for number in range(CLIENTS)]

    def work(number: int) -> None:
        for verb in plan[number]:
            reply = served.call(f"VolumeDriver.{verb}", {"Name": "v", "ID": f"id-{number}", "Opts": None})
            assert reply.status == 200 or (verb == "Mount" and "does not exist" in reply.json["Err"])

    at_once(work)
    with served.client() as client:
        problems = [finding for finding in client.findings() if not finding.well]
    assert [finding for finding in problems if "room" not in finding.check and "namespaces" not in finding.check] == []


class HangingPool(LocalPool):
    """A pool in which a mount of the volume `slow` takes as long as the test wants.

    Attributes:
        hanging: is set when the mount has begun.
        leave: ends the mount when it is set.
    """

    def __init__(self, root: Path) -> None:
        super().__init__("default", str(root), "host-1", AdoptablePaths([str(root)], [], KernelMounts()))
        self.hanging, self.leave = threading.Event(), threading.Event()
        self.prepare()

    def attach(self, volume: Volume) -> str:
        """See `pyvol.core.ports.pool.Attachments`."""
        if volume.name == "slow":
            self.hanging.set()
            self.leave.wait(60)
        return super().attach(volume)


def test_a_mount_that_hangs_delays_no_other_volume(scratch: Path) -> None:
    """While one volume's storage does not answer, every verb works on another volume (promise 4)."""
    pool = HangingPool(scratch / "pool")
    house = House(scratch, pools={"default": pool})
    house.volumes.create("slow", None)
    thread = threading.Thread(target=house.volumes.mount, args=("slow", "id"))
    thread.start()
    assert pool.hanging.wait(60)
    house.volumes.get("slow")
    house.volumes.create("v", None)
    assert Path(house.volumes.mount("v", "id")).is_dir()
    house.volumes.unmount("v", "id")
    house.volumes.remove("v")
    house.trash.undelete("v")
    assert house.names() == ["slow", "v"]
    assert thread.is_alive()
    pool.leave.set()
    thread.join(60)
    assert [claim.volume for claim, _ in house.volume_status.claims()] == ["slow"]
