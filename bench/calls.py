"""`python -m bench.calls`: count the functions and files of pyvol that one request runs through.

A real daemon serves a local pool, with a profile hook (`sys.setprofile`) in its threads. It counts the calls
in the request's thread, from the request's first byte to the closed connection, without resumed generators.
The numbers show how much code a reader must follow to understand a verb. Needs root.
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
from bench import daemons, plugin_api

HOME = f"{Path(pyvol.__file__).parent}/"
TAKEN = "BENCH_CALLS"
"""The variable with the path of the file to which the daemon writes the counted calls."""
INLINED = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})
"""Python 3.12 calls no functions for comprehensions."""
VERBS = ("Create", "Get", "List", "Mount", "Unmount", "Remove")


class Hook:
    """A profile function that writes a line for each request that a thread has answered.

    Args:
        file: the file to write to.
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
    """Return whether the frame belongs to a generator that has run before."""
    return bool(frame.f_code.co_flags & inspect.CO_GENERATOR) and frame.f_lasti > FIRST


def _first_instruction() -> int:
    """Return the highest instruction offset of a generator that has not run yet."""

    def generator() -> Any:
        yield

    first: int = generator().gi_frame.f_lasti
    return first


FIRST = _first_instruction()


def counted(directory: Path) -> dict[str, list[str]]:
    """Return for each verb the functions that one request calls, as `file:function` in order of the calls."""
    file = directory / "calls"
    daemon = daemons.pyvol(directory / "pyvol.sock", directory / "root")
    daemon.command[1:3] = ["-m", "bench.calls", "--serve"]
    daemon.environment[TAKEN] = str(file)
    found: dict[str, list[str]] = {}
    with daemon:
        lines = _await(file, 1)  # the request that asks whether the daemon is up
        for name in ("warm", "v"):  # calls that only the first request causes are not counted
            for verb in VERBS:
                plugin_api.ask(daemon.socket, verb, {"Name": name, "ID": "0" * 64})
                lines = _await(file, len(lines) + 1)
                found[verb] = json.loads(lines[-1])
    return found


def _await(file: Path, count: int) -> list[str]:
    """Wait until a file has this many lines, and return them."""
    while len(lines := file.read_text(encoding="utf-8").splitlines() if file.exists() else []) < count:
        time.sleep(0.01)
    return lines


@click.command()
@click.option("--verb", type=click.Choice(VERBS), help="Print the calls of this verb, one per line.")
def main(verb: str | None) -> None:
    """Count the functions and files of pyvol that each verb runs through on a local pool."""
    if os.geteuid() != 0:
        raise click.ClickException("pyvol needs root: run this command as root")
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
    """Run `pyvol serve` with the hook in each of its threads."""
    threading.setprofile(Hook(os.environ[TAKEN]))
    from pyvol.cli.group import main as pyvol_main  # noqa: PLC0415  # its imports are not counted

    sys.argv[0] = "pyvol"
    pyvol_main()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        del sys.argv[1]
        serve()
    else:
        main()
