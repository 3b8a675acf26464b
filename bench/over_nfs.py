"""Section `nfs`: a pool on an NFS export compared with a local pool, in a guest with its own NFS server.

A guest is a slow machine with one processor: read the ratios, not the times.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from bench.nfs_guest import Plan
from bench.report import Aim, Row
from guest.uml import Guest, make_disk

FULL = Plan(runs=50, io_rounds=241, io_mib=32, volumes=100, listed=10_000, lists=31)
QUICK = Plan(runs=3, io_rounds=3, io_mib=8, volumes=10, listed=1_000, lists=3)
DISK_MIB = 1024
MEMORY_MIB = 2048
SILENCE_S = 1800.0
ROOT = Path(__file__).resolve().parent.parent


def measure(directory: Path, plan: Plan) -> list[Row]:
    """Run the section in a guest, which is removed afterwards."""
    disk = make_disk(directory / "disk", DISK_MIB)
    environment = {"PYTHONPATH": str(ROOT), "HOME": os.environ.get("HOME", "/root")}
    with Guest(disks=[disk], memory_mib=MEMORY_MIB) as guest:
        # Processes that the section leaves in the guest must not keep its stderr open.
        command = ["sh", "-c", 'exec "$@" 2>&1', "bench", sys.executable, "-m", "bench.nfs_guest"]
        rows = []
        for line in guest.lines(*command, json.dumps(asdict(plan)), env=environment, timeout_s=SILENCE_S):
            if line.startswith("{"):
                rows.append(read(line))
            else:
                sys.stderr.write(line + "\n")
        return rows


def read(line: str) -> Row:
    """Return a row from its JSON form."""
    found = json.loads(line)
    aim = found.pop("aim")
    assert isinstance(aim, dict | None)  # noqa: S101  # made by asdict
    return Row(**found, aim=Aim(**aim) if aim else None)
