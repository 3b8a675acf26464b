"""State directories with many volumes, made faster than by creating each volume through pyvol.

pyvol creates one volume; the others are copies of its files and its row, each with another name and id. So
nothing here knows the form of a manifest or a row.
"""

import json
import sqlite3
import uuid
from pathlib import Path

from bench import daemons, plugin_api

PATTERN = "pattern"


def volume_names(count: int) -> list[str]:
    """Return the names of `count` volumes; pyvol creates the first of them."""
    return [PATTERN, *(f"volume-{number:06}" for number in range(1, count))]


def fill(home: Path, count: int) -> list[str]:
    """Create a pool and its catalog with `count` volumes; return their names."""
    home.mkdir(parents=True)
    with daemons.pyvol(home.parent / "filling.sock", home) as daemon:
        plugin_api.ask(daemon.socket, "Create", {"Name": PATTERN, "Opts": None})
    names = volume_names(count)
    copies = [(uuid.uuid4().hex[:16], name) for name in names[1:]]
    copy_directories(home / "volumes", copies)
    copy_rows(home / "pyvol.db", copies)
    return names


def copy_directories(volumes: Path, copies: list[tuple[str, str]]) -> None:
    """Copy the first volume's directory once per copy."""
    data = next((volumes / PATTERN).glob("_data"))
    owner_mode = data.stat().st_mode & 0o7777
    descriptor = volumes / PATTERN / "volume.json"
    pattern = json.loads(descriptor.read_text())
    for volume_id, name in copies:
        directory = volumes / name
        directory.mkdir(mode=0o711)
        (directory / "_data").mkdir(mode=owner_mode)
        content = {**pattern, "name": name, "id": volume_id}
        (directory / "volume.json").write_text(json.dumps(content))


def copy_rows(database: Path, copies: list[tuple[str, str]]) -> None:
    """Copy the first volume's row once per copy, in one transaction."""
    with sqlite3.connect(database) as rows:
        found = rows.execute("SELECT * FROM volumes WHERE name = ?", (PATTERN,))
        columns = [column for column, *_ in found.description]
        pattern = dict(zip(columns, found.fetchone(), strict=True))
        marks = ", ".join(f":{column}" for column in columns)
        made = ({**pattern, "id": volume_id, "name": name} for volume_id, name in copies)
        rows.executemany(f"INSERT INTO volumes VALUES ({marks})", made)  # noqa: S608  # columns of the table itself
    rows.close()


def fill_rclone(home: Path, count: int, backing: Path) -> list[str]:
    """Write rclone's state file with `count` volumes of the directory `backing`; return their names."""
    names = volume_names(count)
    records = [
        {
            "name": name,
            "mountpoint": str(home / "base" / name),
            "created": "2026-01-31T12:00:00Z",
            "fs": f":local:{backing}",
            "type": "",
            "path": "",
            "options": {},
            "mounts": [],
        }
        for name in names
    ]
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "docker-plugin.state").write_text(json.dumps(records))
    return names
