"""`python -m bench.calls`: how many functions of pyvol, and how many of its files, one request runs through.

A real daemon serves a local pool, with a profile hook (`sys.setprofile`) in its threads. Counted are the calls in the
thread that has the request, from its first byte to the closed connection; a generator that resumes is not a
new call. The numbers show how far a reader has to follow a verb. Needs root.
"""

import inspect
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import pyvol
from bench import daemons, wire

HOME = f"{Path(pyvol.__file__).parent}/"
TAKEN = "BENCH_CALLS"
"""The variable that names the file to which the daemon writes what it has counted."""
INLINED = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})
"""Python 3.12 calls no functions for these."""
VERBS = ("Create", "Get", "List", "Mount", "Unmount", "Remove")


class Hook:
    """A profile function: writes a line for each request that a thread has answered.

    Args:
        file: where to.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._threads = threading.local()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """See `sys.setprofile`."""
        code = frame.f_code
        if event not in {"call", "return"} or not code.co_filename.startswith(HOME):
            return
        place = f"{code.co_filename.removeprefix(HOME)}:{code.co_qualname}"
        taken: list[str] | None = getattr(self._threads, "taken", None)
        if place == "daemon/gunicorn_worker.py:ConnectionWorker.handle":
            if event == "call":
                self._threads.taken = taken = []
            elif taken is not None:
                self._threads.taken = None
                with Path(self._file).open("a", encoding="utf-8") as file:
                    file.write(f"{json.dumps(taken)}\n")
        if taken is not None and event == "call" and code.co_name not in INLINED and not _is_resumed(frame):
            taken.append(place)


def _is_resumed(frame: FrameType) -> bool:
    """Return whether the frame is a generator's that has run before."""
    return bool(frame.f_code.co_flags & inspect.CO_GENERATOR) and frame.f_lasti > FIRST


def _first_instruction() -> int:
    """Return the highest offset at which a generator that has not run yet can be."""

    def generator() -> Any:
        yield

    first: int = generator().gi_frame.f_lasti
    return first


FIRST = _first_instruction()


def counted(directory: Path) -> dict[str, list[str]]:
    """Return by verb the functions that one request calls, each as `file:function`, in the order of the calls."""
    file = directory / "calls"
    daemon = daemons.pyvol(directory / "pyvol.sock", directory / "root")
    daemon.command[1:3] = ["-m", "bench.calls", "--serve"]
    daemon.environment[TAKEN] = str(file)
    found: dict[str, list[str]] = {}
    with daemon:
        lines = _await(file, 1)  # the question whether it is up
        for name in ("warm", "v"):  # what only the first request does is not counted
            for verb in VERBS:
                wire.ask(daemon.socket, verb, {"Name": name, "ID": "0" * 64})
                lines = _await(file, len(lines) + 1)
                found[verb] = json.loads(lines[-1])
    return found


def _await(file: Path, count: int) -> list[str]:
    """Return the lines of a file as soon as it has so many."""
    while len(lines := file.read_text(encoding="utf-8").splitlines() if file.exists() else []) < count:
        time.sleep(0.01)
    return lines


@click.command()
@click.option("--verb", type=click.Choice(VERBS), help="Show the calls of this verb, one a line.")
def main(verb: str | None) -> None:
    """Count the functions of pyvol, and its files, that each verb runs through on a local pool."""
    if os.geteuid() != 0:
        raise click.ClickException("pyvol is started as root: run this as root")
    with tempfile.TemporaryDirectory(prefix="pyvol-calls-") as directory:
        found = counted(Path(directory))
    if verb is not None:
        print("\n".join(found[verb]))
        return
    table = Table("verb", "calls", "files", "most called")
    for name, calls in found.items():
        most = ", ".join(f"{place} {count}" for place, count in Counter(calls).most_common(2))
        table.add_row(name, f"{len(calls)}", f"{len({place.partition(':')[0] for place in calls})}", most)
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def serve() -> None:
    """Run `pyvol serve` with the hook in each thread that it starts."""
    threading.setprofile(Hook(os.environ[TAKEN]))
    from pyvol.cli.group import main as pyvol_main  # noqa: PLC0415  # what it defines is not counted

    sys.argv[0] = "pyvol"
    pyvol_main()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        del sys.argv[1]
        serve()
    else:
        main()
