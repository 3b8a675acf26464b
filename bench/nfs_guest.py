"""The part of section `nfs` that runs in the guest; prints each row as a line of JSON when it is measured."""

import contextlib
import functools
import json
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import filled, plugin_api
from bench.report import Aim, Row, under, within
from bench.rounds import Series, ratio, take_turns
from engine.images import BOX
from guest.wire import Refused
from nfs.daemon import Container, Daemon
from nfs.engine import Engine
from nfs.hosts import Host
from nfs.server import NfsServer

SECTION = "nfs: in a guest (read the ratios, not the times)"
POOL = '[pools.nas]\nkind = "nfs"\nexport = "nas.lan:/export/main"\n'
PLUGINS = "/run/docker/plugins"
BY_HAND = "/by-hand"
RUN = "run --rm -v, by the API"
PAIR = "Mount and Unmount"
RUN_WITHIN = 1.05
LIST_WITHIN = 1.05
THROUGHPUT = 0.98
HARMLESS_MS = 50.0


@dataclass(frozen=True)
class Plan:
    """The numbers of runs, rounds, volumes and MiB."""

    runs: int
    io_rounds: int
    io_mib: int
    volumes: int
    listed: int
    lists: int


def through_docker(engine: Engine, pyvol: Daemon, runs: int) -> list[Row]:
    """Measure a container's whole life on a volume of each pool, and Mount with Unmount by themselves."""
    for pool in ("default", "nas"):
        pyvol.create(f"run-{pool}", pool=pool)
    taken = take_turns(
        {pool: functools.partial(live, engine, pyvol, f"run-{pool}") for pool in ("default", "nas")}, runs
    )
    return [compare(RUN, taken, RUN_WITHIN), compare(PAIR, taken)]


def live(engine: Engine, pyvol: Daemon, volume: str) -> dict[str, list[float]]:
    """Run a container on a volume, and mount and unmount the volume without a container."""
    begun = time.perf_counter()
    host_config = {"Binds": [f"{volume}:/data"], "NetworkMode": "none"}
    wanted = {"Image": BOX, "Cmd": ["true"], "HostConfig": host_config}
    container = engine.api.call("POST", "/containers/create", wanted)["Id"]
    engine.api.call("POST", f"/containers/{container}/start")
    engine.api.call("POST", f"/containers/{container}/wait")
    engine.api.call("DELETE", f"/containers/{container}")
    ran = time.perf_counter()
    pyvol.mount(volume)
    pyvol.unmount(volume)
    return {RUN: [ran - begun], PAIR: [time.perf_counter() - ran]}


def compare(what: str, taken: Mapping[str, Mapping[str, Series]], factor: float | None = None) -> Row:
    """Compare a volume of the NFS pool with one of the local pool."""
    near, far = taken["default"][what], taken["nas"][what]
    measured = ratio(far.medians, near.medians)
    return Row(
        section=SECTION,
        what=what,
        who="NFS pool",
        value=far.p50,
        unit="ms",
        against="local pool",
        reference=near.p50,
        ratio=measured,
        aim=within(factor, measured) if factor else None,
    )


def count_mounts(host: Host, pyvol: Daemon, volumes: int) -> Row:
    """Count the kernel mounts of many mounted volumes."""
    names = [f"many-{number}" for number in range(volumes)]
    for name in names:
        pyvol.create(name, pool="nas")
        pyvol.mount(name)
    mounts = len(host.mounts())
    for name in names:
        pyvol.unmount(name)
        pyvol.remove(name)
    return Row(
        section=SECTION,
        what=f"kernel mounts of {volumes} mounted volumes",
        who="NFS pool",
        value=mounts,
        unit="mounts",
        aim=Aim("1", mounts == 1),
    )


def throughput(pyvol: Daemon, plan: Plan) -> list[Row]:
    """Measure reads and writes in a container's namespace, and on the same export mounted by hand."""
    options = pyvol.host.mounts()[0].split()[-1]
    version = next(option for option in options.split(",") if option.startswith("vers="))
    pyvol.host.run("mkdir", "-p", BY_HAND)
    pyvol.host.run("mount", "-t", "nfs", "-o", version, "nas.lan:/export/main", BY_HAND)
    pyvol.create("io", pool="nas")
    container = Container(pyvol.host, pyvol.mount("io"))
    arguments = f"/mnt {BY_HAND} {plan.io_rounds} {plan.io_mib}"
    said = container.run(f"{sys.executable} -m bench.nfs_io {arguments}", timeout_s=1800)
    taken = {who: {what: Series(rounds) for what, rounds in kinds.items()} for who, kinds in json.loads(said).items()}
    container.end()
    pyvol.unmount("io")
    pyvol.host.run("umount", BY_HAND)
    return [speed(what, taken["/mnt"][what], taken[BY_HAND][what]) for what in taken["/mnt"]]


def speed(what: str, volume: Series, by_hand: Series) -> Row:
    """Compare a volume's speed with the export's."""
    share = ratio(by_hand.medians, volume.medians)
    return Row(
        section=SECTION,
        what=what,
        who="in a container",
        value=volume.p50,
        unit="ms",
        against="speed, by hand",
        reference=by_hand.p50,
        ratio=share,
        aim=Aim(f"≥ {THROUGHPUT:g} x", share >= THROUGHPUT),
    )


def beside_a_dead_server(server: NfsServer, pyvol: Daemon, rounds: int) -> list[Row]:
    """Measure each verb of a local volume while the NFS pool's server is dead and requests wait for it."""
    pyvol.create("far", pool="nas")
    server.vanish("nas.lan")
    asking = threading.Thread(target=ask_in_vain, args=(pyvol,))
    asking.start()
    taken: dict[str, list[float]] = {}
    acts: dict[str, Callable[[], object]] = {
        "Create": lambda: pyvol.create("near"),
        "Get": lambda: pyvol.get("near"),
        "Mount": lambda: pyvol.mount("near"),
        "List": pyvol.names,
        "Unmount": lambda: pyvol.unmount("near"),
        "Remove": lambda: pyvol.remove("near"),
    }
    while asking.is_alive() or len(taken.get("Get", [])) < rounds:
        for verb, act in acts.items():
            begun = time.perf_counter()
            act()
            taken.setdefault(verb, []).append(time.perf_counter() - begun)
    server.appear("nas.lan")
    return [
        Row(
            section=SECTION,
            what=f"{verb}, a server is dead",
            who="local pool",
            value=statistics.median(times),
            unit="ms",
            p99=max(times),
            aim=under(HARMLESS_MS, "ms", statistics.median(times)),
        )
        for verb, times in taken.items()
    ]


def ask_in_vain(pyvol: Daemon) -> None:
    """Mount a volume that cannot be mounted; the answer is an error."""
    with contextlib.suppress(Refused):
        pyvol.mount("far")


def lists(host: Host, server: NfsServer, scratch: Path, plan: Plan) -> Row:
    """Measure `List` of many volumes, which are all in the NFS pool or all in the local pool."""
    server.empty()
    daemons: dict[str, Daemon] = {}
    for pool, volumes in (("default", scratch / "default/pool/volumes"), ("nas", server.path("main") / "volumes")):
        (scratch / pool).mkdir()
        daemon = Daemon(host, scratch / pool)
        daemon.configure(POOL)
        daemon.start()
        daemon.create(filled.PATTERN, pool=pool)
        daemon.stop()
        copies = [(uuid.uuid4().hex[:16], name) for name in filled.volume_names(plan.listed)[1:]]
        filled.copy_directories(volumes, copies)
        filled.copy_rows(daemon.root / "pyvol.db", copies)
        daemon.start()
        daemons[pool] = daemon

    def turn(daemon: Daemon) -> Callable[[], dict[str, list[float]]]:
        asked = plugin_api.request("List")
        return lambda: {what: [plugin_api.timed(daemon.socket, asked)]}

    what = f"List of {plan.listed:,} volumes"
    taken = take_turns({pool: turn(daemon) for pool, daemon in daemons.items()}, plan.lists)
    for daemon in daemons.values():
        assert len(daemon.names()) == plan.listed, daemon.log.read_text()[-2000:]  # noqa: S101  # else List failed
        daemon.stop()
    return compare(what, taken, LIST_WITHIN)


def main() -> None:
    """Measure all parts of the section."""
    plan = Plan(**json.loads(sys.argv[1]))
    server = NfsServer()
    host = Host("one", 1)
    scratch = Path(tempfile.mkdtemp(dir="/srv"))
    host.run("mkdir", "-p", PLUGINS)
    (scratch / "docker").mkdir()
    pyvol = Daemon(host, scratch, SOCKET=f"{PLUGINS}/pyvol.sock")
    pyvol.configure(POOL)
    pyvol.start()
    engine = Engine(host, scratch / "docker")
    engine.start()
    engine.import_image()
    tell(*through_docker(engine, pyvol, plan.runs))
    engine.stop()
    tell(count_mounts(host, pyvol, plan.volumes))
    tell(*throughput(pyvol, plan))
    tell(*beside_a_dead_server(server, pyvol, plan.io_rounds))
    pyvol.stop()
    host.reset()
    tell(lists(host, server, scratch, plan))


def tell(*rows: Row) -> None:
    """Print rows for the host."""
    for row in rows:
        print(json.dumps(asdict(row)), flush=True)


if __name__ == "__main__":
    main()
