"""Section `load`: 64 clients that send Get at once, with and without a Mount that hangs at the same time."""

import contextlib
import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import daemons, filled, plugin_api
from bench.report import Row, within
from bench.rounds import Batch, Series, ratio, take_turns

SECTION = "load: 64 clients at once"
CLIENTS = 64
VOLUMES = 1_000
P99_WITHIN = 1.5
HANGING = "hanging"
DEADLINE_S = 30.0


@dataclass(frozen=True)
class Plan:
    """The numbers of rounds and calls."""

    rounds: int
    calls: int


FULL = Plan(rounds=12, calls=2_000)
QUICK = Plan(rounds=4, calls=1_000)


class HangingMount:
    """A Mount of a volume whose storage does not answer, repeated all the time."""

    def __init__(self, socket: Path) -> None:
        """Store pyvol's socket."""
        self.socket = socket
        self.over = threading.Event()
        self.answers: list[float] = []
        self.thread = threading.Thread(target=self.ask, daemon=True)

    def ask(self) -> None:
        """Repeat the Mount; each answer, if any, is an error."""
        for number in itertools.count():
            if self.over.is_set():
                return
            asked = plugin_api.request("Mount", {"Name": HANGING, "ID": f"{number:064x}"})
            with contextlib.suppress(OSError):
                took, _ = plugin_api.exchange(self.socket, asked)
                self.answers.append(took)
            time.sleep(0.05)  # a Mount that is refused at once must not become a load itself


@contextlib.contextmanager
def stopped_storage(program: str, scratch: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Yield a directory and its FUSE process; after a SIGSTOP, access to the directory hangs."""
    backing, mountpoint = scratch / "backing", scratch / "mounted"
    backing.mkdir()
    mountpoint.mkdir()
    server = subprocess.Popen(
        [program, "mount", f":local:{backing}", mountpoint, "--attr-timeout", "0s", "--config", ""],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not mountpoint.is_mount():
            if time.monotonic() > deadline or server.poll() is not None:
                raise daemons.StartError("rclone mount did not come up")
            time.sleep(0.05)
        yield mountpoint, server
    finally:
        server.send_signal(signal.SIGCONT)
        subprocess.run(["umount", "--lazy", mountpoint], check=False)
        server.terminate()
        server.wait(DEADLINE_S)


def measure(scratch: Path, plan: Plan) -> list[Row]:
    """Run the section."""
    with ExitStack() as running:
        home = scratch / "pool"
        names = filled.fill(home, VOLUMES)
        pyvol = running.enter_context(daemons.pyvol(scratch / "pyvol.sock", home))
        floor = running.enter_context(daemons.floor("constant", scratch / "floor.sock", scratch))
        gets = itertools.cycle([plugin_api.request("Get", {"Name": name}) for name in names])
        constant = itertools.repeat(plugin_api.request("Get", {"Name": "floor"}))
        competitors: dict[str, Batch] = {
            "floor": lambda: {"Get": plugin_api.crowd(floor.socket, constant, CLIENTS, plan.calls)},
            "pyvol": lambda: {"Get": plugin_api.crowd(pyvol.socket, gets, CLIENTS, plan.calls)},
        }
        rows = [*compared("Get", take_turns(competitors, plan.rounds))]
        if program := daemons.rclone():
            mountpoint, server = running.enter_context(stopped_storage(program, scratch))
            plugin_api.ask(pyvol.socket, "Create", {"Name": HANGING, "Opts": {"path": str(mountpoint), "mode": "0750"}})
            os.kill(server.pid, signal.SIGSTOP)
            mount = HangingMount(pyvol.socket)
            mount.thread.start()
            rows += compared("Get while a Mount hangs", take_turns(competitors, plan.rounds))
            mount.over.set()
            server.send_signal(signal.SIGCONT)
            mount.thread.join(plugin_api.PATIENCE_S)
    return rows


def compared(what: str, taken: dict[str, dict[str, Series]]) -> Iterator[Row]:
    """Yield the 99th percentile of the floor and of pyvol."""
    floor, pyvol = taken["floor"]["Get"], taken["pyvol"]["Get"]
    measured = ratio(pyvol.p99s, floor.p99s)
    yield Row(section=SECTION, what=what, who="Flask floor", value=floor.p50, unit="ms", p99=floor.p99)
    yield Row(
        section=SECTION,
        what=what,
        value=pyvol.p50,
        unit="ms",
        p99=pyvol.p99,
        against="floor, p99 to p99",
        reference=floor.p99,
        ratio=measured,
        aim=within(P99_WITHIN, measured),
    )
