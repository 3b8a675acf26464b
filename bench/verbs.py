"""Section `socket`: each verb by itself, with few volumes and with many.

Separate daemons serve all sizes at the same time, and take turns with the floors. So "flat from 10 to
100,000" is measured in the same minutes.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import daemons, filled, plugin_api
from bench.commits import CommittedRows
from bench.report import Row, under, within
from bench.rounds import Batch, Series, ratio, take_turns

SECTION = "socket: each verb, on a new connection for each call"
SIZES = (10, 1_000, 10_000, 100_000)
QUICK_SIZES = (10, 10_000)
RCLONE_SIZES = (10, 1_000, 10_000)
COMMITS = {"Mount": 1.5, "Unmount": 1.5, "Create": 4.0, "Remove": 4.0}
RCLONE_VERBS = ("Get", "Path", "Capabilities", "Create", "Remove", "List")
"""Without Mount and Unmount, which start and end a FUSE server: that is other work, and Unmount can hang."""
VERBS = ("Get", "Path", "Capabilities", "Create", "Mount", "Unmount", "Remove", "List")
GET_WITHIN = 1.5
FLAT_WITHIN = 1.3
LISTED = 10_000
LIST_LIMIT_MS = 15.0
LISTS = 2

Taken = Mapping[str, Mapping[str, Series]]


@dataclass(frozen=True)
class Plan:
    """The numbers of rounds, calls and volumes."""

    sizes: tuple[int, ...]
    rclone_sizes: tuple[int, ...]
    rounds: int
    calls: int


FULL = Plan(sizes=SIZES, rclone_sizes=RCLONE_SIZES, rounds=20, calls=25)
QUICK = Plan(sizes=QUICK_SIZES, rclone_sizes=(10,), rounds=6, calls=20)


@dataclass
class Turn:
    """One competitor's turn: each verb `calls` times; the number of volumes is the same before and after.

    Attributes:
        socket: the competitor's socket.
        names: the volumes that always exist.
        calls: how often each verb is called.
        verbs: the verbs to call.
        options: the options of new volumes.
    """

    socket: Path
    names: list[str]
    calls: int
    verbs: tuple[str, ...] = VERBS
    options: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        """Begin with turn zero, and choose the same volumes in each run."""
        self.turns = itertools.count()
        self.chosen = random.Random(len(self.names))  # noqa: S311  # no secret

    def __call__(self) -> dict[str, list[float]]:
        """Call each verb."""
        number = next(self.turns)
        known = [{"Name": name} for name in self.chosen.choices(self.names, k=self.calls)]
        fresh = [{"Name": f"fresh-{number}-{call}"} for call in range(self.calls)]
        mounts = [name | {"ID": f"{number:064x}"} for name in fresh]
        contents: dict[str, Sequence[Mapping[str, object]]] = {
            "Get": known,
            "Path": known,
            "Capabilities": [{}] * self.calls,
            "Create": [{**name, "Opts": self.options} for name in fresh],
            "Mount": mounts,
            "Unmount": mounts,
            "Remove": fresh,
            "List": [{}] * LISTS,
        }
        return {
            verb: [plugin_api.timed(self.socket, plugin_api.request(verb, content)) for content in contents[verb]]
            for verb in self.verbs
        }


def measure(scratch: Path, plan: Plan) -> list[Row]:
    """Run the section."""
    with ExitStack() as running:
        commits = running.enter_context(CommittedRows(scratch))
        floor = running.enter_context(daemons.floor("constant", scratch / "floor.sock", scratch))
        asked = plugin_api.request("Get", {"Name": "floor"})
        competitors: dict[str, Batch] = {
            "floor": lambda: {"Get": [plugin_api.timed(floor.socket, asked) for _ in range(plan.calls)]},
            "commit": lambda: {"commit": [commits.commit() for _ in range(plan.calls)]},
        }
        for size in plan.sizes:
            home = scratch / f"pool-{size}"
            names = filled.fill(home, size)
            daemon = running.enter_context(daemons.pyvol(scratch / f"pyvol-{size}.sock", home))
            competitors[pyvol(size)] = Turn(daemon.socket, names, plan.calls)
        if program := daemons.rclone():
            for size in plan.rclone_sizes:
                home = scratch / f"rclone-{size}"
                backing = home / "backing"
                backing.mkdir(parents=True)
                names = filled.fill_rclone(home, size, backing)
                daemon = running.enter_context(daemons.rclone_plugin(program, scratch / f"rclone-{size}.sock", home))
                options = {"remote": f":local:{backing}"}
                calls = max(4, plan.calls // 5)
                competitors[rclone(size)] = Turn(daemon.socket, names, calls, RCLONE_VERBS, options)
        taken = take_turns(competitors, plan.rounds)
    return [*floors(taken), *compared(taken, plan), *flat(taken, plan), *peers(taken, plan)]


def pyvol(size: int) -> str:
    """Return the name of pyvol with this many volumes."""
    return f"pyvol, {size:,} volumes"


def rclone(size: int) -> str:
    """Return the name of rclone with this many volumes."""
    return f"rclone, {size:,} volumes"


def floors(taken: Taken) -> Iterator[Row]:
    """Yield the two floors."""
    for what, who, series in (
        ("constant answer", "Flask floor", taken["floor"]["Get"]),
        ("durable commit", "disk floor", taken["commit"]["commit"]),
    ):
        yield Row(section=SECTION, what=what, who=who, value=series.p50, unit="µs", p99=series.p99)


def compared(taken: Taken, plan: Plan) -> Iterator[Row]:
    """Yield each verb of pyvol at each size, compared with the floors."""
    floor = taken["floor"]["Get"].medians
    commit = taken["commit"]["commit"].medians
    for verb, size in itertools.product(VERBS, plan.sizes):
        series = taken[pyvol(size)][verb]
        commits = COMMITS.get(verb, 0)
        reference = [base + commits * durable for base, durable in zip(floor, commit, strict=True)]
        measured = ratio(series.medians, reference)
        aim = None
        if verb == "Get":
            aim = within(GET_WITHIN, measured)
        elif verb in COMMITS:
            aim = within(1, measured)
        elif verb == "List" and size == LISTED:
            aim = under(LIST_LIMIT_MS, "ms", series.p50)
        yield Row(
            section=SECTION,
            what=verb,
            who=pyvol(size),
            value=series.p50,
            unit=unit(verb),
            p99=series.p99,
            against=f"floor + {commits:g} commits" if commits else "floor",
            reference=Series([reference]).p50,
            ratio=measured,
            aim=aim,
        )


def flat(taken: Taken, plan: Plan) -> Iterator[Row]:
    """Yield how much each verb but List grows from the fewest volumes to the most."""
    fewest, most = pyvol(plan.sizes[0]), pyvol(plan.sizes[-1])
    for verb in VERBS[:-1]:
        few, many = taken[fewest][verb], taken[most][verb]
        growth = ratio(many.medians, few.medians)
        yield Row(
            section=SECTION,
            what=f"{verb}, growth",
            who=most,
            value=many.p50,
            unit=unit(verb),
            against=fewest,
            reference=few.p50,
            ratio=growth,
            aim=within(FLAT_WITHIN, growth),
        )


def peers(taken: Taken, plan: Plan) -> Iterator[Row]:
    """Yield rclone's verbs, for information."""
    for verb, size in itertools.product(RCLONE_VERBS, plan.rclone_sizes):
        if series := taken.get(rclone(size), {}).get(verb):
            yield Row(
                section=SECTION,
                what=verb,
                who=rclone(size),
                value=series.p50,
                unit=unit(verb),
                p99=series.p99,
            )


def unit(verb: str) -> str:
    """Return the unit in which a verb's time is printed."""
    return "ms" if verb == "List" else "µs"
