"""Section `docker`: the time that a user of Docker waits, compared with the driver `local` and the floor.

The volume verbs go through the engine's HTTP API, because the start of the docker client (some 20 ms) would
hide the differences. `run` is measured in both ways.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import daemons
from bench.engine import Engine
from bench.report import Aim, Row, within
from bench.rounds import Series, ratio, take_turns

SECTION = "docker: through a real engine"
VERBS = ("create", "inspect", "ls", "rm")
RUNS = ("run --rm -v, by the client", "run --rm -v, by the API")
RUN_WITHIN = 1.03
VERBS_WITHIN = 1.3
TREE_TIMES = 100
BASES = ("local", "pyvol")
FILES_A_DIRECTORY = 1_000


@dataclass(frozen=True)
class Plan:
    """The numbers of rounds, calls and files."""

    volumes: int
    rounds: int
    calls: int
    runs: int
    trees: int
    files: int


FULL = Plan(volumes=100, rounds=20, calls=6, runs=30, trees=3, files=100_000)
QUICK = Plan(volumes=20, rounds=6, calls=4, runs=5, trees=1, files=20_000)


@dataclass(frozen=True)
class Driver:
    """A volume driver with its name in the engine."""

    engine: Engine
    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    turns: Iterator[int] = field(default_factory=itertools.count)

    @property
    def held(self) -> str:
        """The name of the volume that always exists."""
        return f"{self.name}-held-0"

    def hold(self, count: int) -> None:
        """Create the volumes that `ls` lists."""
        for number in range(count):
            self.engine.create(self.name, f"{self.name}-held-{number}", self.options)

    def verbs(self, calls: int) -> dict[str, list[float]]:
        """Call each volume verb `calls` times."""
        names = [f"{self.name}-{next(self.turns)}" for _ in range(calls)]
        return {
            "create": [seconds(self.engine.create, self.name, name, self.options) for name in names],
            "inspect": [seconds(self.engine.inspect, name) for name in names],
            "ls": [seconds(self.engine.list, self.name) for _ in names],
            "rm": [seconds(self.engine.remove, name) for name in names],
        }

    def runs(self) -> dict[str, list[float]]:
        """Run one container in each way."""
        ways = (self.engine.run_by_client, self.engine.run)
        return {what: [seconds(way, self.held)] for what, way in zip(RUNS, ways, strict=True)}

    def tree(self, files: int) -> dict[str, list[float]]:
        """Remove a volume with many files."""
        name = f"{self.name}-tree-{next(self.turns)}"
        self.engine.create(self.name, name, self.options)
        plant(Path(str(self.engine.inspect(name)["Mountpoint"])), files)
        return {"rm": [seconds(self.engine.remove, name)]}


def seconds(act: Callable[..., object], *arguments: object) -> float:
    """Return the seconds that a function takes."""
    begun = time.perf_counter()
    act(*arguments)
    return time.perf_counter() - begun


def plant(directory: Path, files: int) -> None:
    """Create empty files and sync them, so that their commit is not measured."""
    for number in range(files):
        if number % FILES_A_DIRECTORY == 0:
            branch = directory / f"{number:06}"
            branch.mkdir()
        os.close(os.open(branch / f"{number:06}", os.O_CREAT | os.O_WRONLY, 0o644))
    os.sync()


def measure(scratch: Path, plan: Plan, dockerd: str, docker: str) -> list[Row]:
    """Run the section."""
    with ExitStack() as running:
        engine = Engine(scratch / "engine", dockerd, docker)
        # The plugins start before the engine and stop after it: an absent plugin costs the engine 15 s per
        # call.
        engine.plugins.mkdir(parents=True)
        directory = scratch / "floor"
        directory.mkdir()
        running.enter_context(daemons.floor("plugin", engine.plugins / "floor.sock", directory))
        running.enter_context(daemons.pyvol(engine.plugins / "pyvol.sock", scratch / "pool"))
        drivers = [Driver(engine, name) for name in ("local", "pyvol", "floor")]
        if program := daemons.rclone():
            home = scratch / "rclone"
            running.enter_context(daemons.rclone_plugin(program, engine.plugins / "rclone.sock", home))
            backing = home / "backing"
            backing.mkdir()
            drivers.append(Driver(engine, "rclone", {"remote": f":local:{backing}"}))
        running.enter_context(engine)
        engine.import_image()
        for driver in drivers:
            driver.hold(plan.volumes)
        verbs = {driver.name: partial(driver.verbs, plan.calls) for driver in drivers}
        runs = {
            driver.name: driver.runs for driver in drivers if driver.name != "rclone"
        }  # rclone's mounts are FUSE servers
        trees = {driver.name: partial(driver.tree, plan.files) for driver in drivers if driver.name in BASES}
        taken = take_turns(verbs, plan.rounds)
        for name, series in take_turns(runs, plan.runs).items():
            taken[name] |= series
        trees_taken = take_turns(trees, plan.trees, warm=False)
    return [*rows(taken), tree_row(trees_taken, plan.files)]


def rows(taken: Mapping[str, Mapping[str, Series]]) -> Iterator[Row]:
    """Yield each verb of each driver: pyvol compared with the floor, and all drivers with `local`."""
    for what in (*VERBS, *RUNS):
        yield row(taken, what, "local")
        for name in [name for name in taken if name != "local" and what in taken[name]]:
            yield row(taken, what, name, "local", RUN_WITHIN if name == "pyvol" and what in RUNS[:1] else None)
        if what in VERBS:
            yield row(taken, what, "pyvol", "floor", VERBS_WITHIN)


def row(
    taken: Mapping[str, Mapping[str, Series]],
    what: str,
    who: str,
    against: str = "",
    factor: float | None = None,
) -> Row:
    """Return one driver's verb, compared with another driver's."""
    series = taken[who][what]
    reference = taken[against][what] if against else None
    measured = ratio(series.medians, reference.medians) if reference else None
    return Row(
        section=SECTION,
        what=what,
        who=who,
        value=series.p50,
        unit="ms",
        p99=series.p99,
        against=against,
        reference=reference.p50 if reference else None,
        ratio=measured,
        aim=within(factor, measured) if factor and measured else None,
    )


def tree_row(taken: Mapping[str, Mapping[str, Series]], files: int) -> Row:
    """Return how many times faster than `local` a big volume is removed."""
    local, pyvol = taken["local"]["rm"], taken["pyvol"]["rm"]
    faster = ratio(local.medians, pyvol.medians)
    return Row(
        section=SECTION,
        what=f"rm of {files:,} files",
        value=pyvol.p50,
        unit="ms",
        against="local is slower by",
        reference=local.p50,
        ratio=faster,
        aim=Aim(f"≥ {TREE_TIMES} x", faster >= TREE_TIMES),
    )
