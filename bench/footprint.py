"""Section `footprint`: time from start to first answer, and memory, empty and with 100,000 volumes."""

from dataclasses import dataclass
from pathlib import Path

from bench import daemons, filled, plugin_api
from bench.report import Row, under
from bench.rounds import Batch, take_turns

SECTION = "footprint: start and memory"
MANY = 100_000
QUICK_MANY = 10_000
GETS = 500


@dataclass(frozen=True)
class Plan:
    """The numbers of starts, volumes and calls."""

    many: int
    rounds: int


FULL = Plan(many=MANY, rounds=9)
QUICK = Plan(many=QUICK_MANY, rounds=4)


@dataclass(frozen=True)
class Case:
    """One daemon in one state, the request that it answers, and the aims."""

    what: str
    who: str
    daemon: daemons.Daemon
    asked: bytes
    start_limit_s: float | None = None
    memory_limit_mib: float | None = None

    def restart(self) -> dict[str, list[float]]:
        """Return the seconds from the start to the first answer."""
        took = self.daemon.start(self.asked)
        self.daemon.stop()
        return {"start": [took]}

    def weigh(self) -> tuple[int, int]:
        """Return the bytes of memory after some calls, and after another List."""
        with self.daemon:
            for _ in range(GETS):
                plugin_api.timed(self.daemon.socket, self.asked)
            before = self.daemon.pss_bytes()
            plugin_api.timed(self.daemon.socket, plugin_api.request("List"))
            return before, self.daemon.pss_bytes()


def cases(scratch: Path, many: int) -> list[Case]:
    """Return the floor, an empty pyvol and a full one."""
    empty, full = scratch / "empty", scratch / "full"
    empty.mkdir()
    names = filled.fill(full, many)
    last = plugin_api.request("Get", {"Name": names[-1]})
    floor = daemons.floor("constant", scratch / "floor.sock", scratch)
    return [
        Case("constant app", "Flask floor", floor, last),
        Case("no volumes", "pyvol", daemons.pyvol(scratch / "empty.sock", empty), plugin_api.request("List"), 0.4, 45),
        Case(f"{many:,} volumes", "pyvol", daemons.pyvol(scratch / "full.sock", full), last, 1.5, 120),
    ]


def measure(scratch: Path, plan: Plan) -> list[Row]:
    """Run the section."""
    measured = cases(scratch, plan.many)
    restarts: dict[str, Batch] = {case.what: case.restart for case in measured}
    taken = take_turns(restarts, plan.rounds)
    rows = []
    for case in measured:
        start_s = taken[case.what]["start"].p50
        aim = under(case.start_limit_s, "s", start_s) if case.start_limit_s else None
        rows.append(Row(section=SECTION, what=f"start, {case.what}", who=case.who, value=start_s, unit="s", aim=aim))
    for case in measured:
        limit = case.memory_limit_mib
        for when, size in zip((f"after {GETS} calls", "and a List"), case.weigh(), strict=True):
            aim = under(limit, "MiB", size) if limit else None
            what = f"memory, {case.what}, {when}"
            rows.append(Row(section=SECTION, what=what, who=case.who, value=size, unit="MiB", aim=aim))
    return rows
