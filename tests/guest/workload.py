"""Runs in a guest: starts pyvol, prints the state after the last power cut, then works until the next cut.

Usage: python -m guest.workload POOL_ROOT STATE_DIR SEED

It prints lines of JSON: first one `survey`, then for each operation `try` before sending it and `done` after
its reply. A line has left the guest before the next operation is sent. `test_power_cut` reads the lines.
"""

import itertools
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guest.wire import Wire

SOCKET = Path("/run/pyvol.sock")
LOG = Path("/run/pyvol.log")
START_TIMEOUT_S = 60.0
MARK = "mark"
MOST_LIVE = 8
MOUNT_IDS = ["a" * 64, "b" * 64]
OPTIONS: list[dict[str, str]] = [{}, {"mode": "2750", "uid": "1000"}, {"on_remove": "keep"}]

Operation = dict[str, Any]


def say(**line: Any) -> None:
    """Print one line and flush it."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def start(root: Path, state: Path) -> Wire:
    """Start pyvol and wait until it answers."""
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pyvol",
                "serve",
                "--socket",
                SOCKET,
                "--root",
                root,
                "--state-dir",
                state,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    wire = Wire(SOCKET)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not wire.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"pyvol did not start: {LOG.read_text()}")
        time.sleep(0.02)
    return wire


def directories(root: Path) -> dict[str, dict[str, str]]:
    """Return, by place in the pool, the files of each volume that the test examines."""
    found = {}
    for place in (*root.glob("volumes/*"), *root.glob("trash/*"), *root.glob("staging/*")):
        files = {name: place / name for name in ("volume.json", "removed.json", f"_data/{MARK}")}
        found[str(place.relative_to(root))] = {
            name: file.read_text() for name, file in files.items() if file.exists()
        } | {"_data": f"{(place / '_data').stat().st_mode:o}" if (place / "_data").is_dir() else "missing"}
    return found


def rows(state: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return the catalog's rows, read from a copy: opening the database itself would repair it."""
    with tempfile.TemporaryDirectory() as scratch:
        for part in state.glob("pyvol.db*"):
            shutil.copy(part, scratch)
        if not (Path(scratch) / "pyvol.db").exists():
            return {"volumes": [], "claims": []}
        catalog = sqlite3.connect(Path(scratch) / "pyvol.db")
        try:
            tables = {row[0] for row in catalog.execute("SELECT name FROM sqlite_master")}
            wanted = {
                "volumes": "SELECT id, name, phase FROM volumes",
                "claims": "SELECT volume, mount_id, count FROM claims",
            }
            return {
                table: catalog.execute(query).fetchall() if table in tables else [] for table, query in wanted.items()
            }
        finally:
            catalog.close()


def operations(rng: random.Random, live: list[str], removed: list[str]) -> Iterator[Operation]:
    """Yield valid operations without end; each new volume has a new name, so a name is always one volume."""
    numbers = itertools.count(1 + max((int(name[1:]) for name in (*live, *removed)), default=0))
    claims: list[tuple[str, str]] = []
    while True:
        verb = rng.choice(["create", "mount", "mount", "unmount", "remove", "undelete"])
        if verb == "create" and len(live) < MOST_LIVE:
            live.append(f"v{next(numbers)}")
            mark = f"{rng.getrandbits(64):016x}"
            yield {"verb": verb, "name": live[-1], "options": rng.choice(OPTIONS), "mark": mark}
        elif verb == "mount" and live:
            claims.append((rng.choice(live), rng.choice(MOUNT_IDS)))
            yield {"verb": verb, "name": claims[-1][0], "mount_id": claims[-1][1]}
        elif verb == "unmount" and claims:
            name, mount_id = claims.pop(rng.randrange(len(claims)))
            yield {"verb": verb, "name": name, "mount_id": mount_id}
        elif verb == "remove" and live:
            removed.append(live.pop(rng.randrange(len(live))))
            claims = [claim for claim in claims if claim[0] != removed[-1]]
            yield {"verb": verb, "name": removed[-1]}
        elif verb == "undelete" and removed:
            live.append(removed.pop(rng.randrange(len(removed))))
            yield {"verb": verb, "name": live[-1]}


def perform(wire: Wire, operation: Operation) -> None:
    """Send one operation, and return when it is acknowledged."""
    name = operation["name"]
    match operation["verb"]:
        case "create":
            wire.call("Create", Name=name, Opts=operation["options"])
        case "mount":
            wire.call("Mount", Name=name, ID=operation["mount_id"])
        case "unmount":
            wire.call("Unmount", Name=name, ID=operation["mount_id"])
        case "remove":
            wire.call("Remove", Name=name)
        case "undelete":
            wire.post("/v1/undelete", name=name)


def leave_mark(wire: Wire, operation: Operation) -> None:
    """Write, and sync as a container would, a text that identifies this volume among volumes of its name."""
    directory = Path(wire.call("Get", Name=operation["name"])["Volume"]["Mountpoint"])
    mark = directory / MARK
    with mark.open("w") as file:
        file.write(operation["mark"])
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(directory, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def main() -> None:
    """Print the survey, then work."""
    root, state, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    before = {"directories": directories(root), "rows": rows(state)}
    wire = start(root, state)
    known = {
        "volumes": wire.get("/v1/volumes"),
        "trash": wire.get("/v1/trash"),
        "claims": wire.get("/v1/claims")["claims"],
        "doctor": wire.get("/v1/doctor"),
    }
    say(survey={"before": before, "directories": directories(root), "known": known, "log": LOG.read_text()})
    live = [volume["name"] for volume in known["volumes"]]
    removed = [volume["name"] for volume in known["trash"]]
    for operation in operations(random.Random(seed), live, removed):
        say(**{"try": operation})
        perform(wire, operation)
        say(done=operation["verb"])
        if operation["verb"] == "create":
            leave_mark(wire, operation)
            say(done="mark")


if __name__ == "__main__":
    main()
