"""What a hostile pool can do to its reader: disks and shares come from elsewhere."""

import json
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from house import House
from pyvol.api.codec import to_json
from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import Phase
from pyvol.storage.local import manifest

# Python 3.14 does not count calls: it parses until the thread's stack is full.
DEPTH = 1_000_000


def test_a_deeply_nested_manifest_is_unreadable() -> None:
    """A manifest that is nested too deeply for the parser is unreadable, and pyvol starts all the same."""
    content = b'{"format":1,"x":' + b"[" * DEPTH + b"]" * DEPTH + b"}"
    with (
        ThreadPoolExecutor(1) as thread,
        pytest.raises(manifest.ManifestUnreadable, match=r"maximum recursion depth|Stack overflow"),
    ):
        thread.submit(manifest.decode, content).result()


def written(**differently: Any) -> bytes:
    """Return a manifest with values that pyvol would not have written."""
    usual = {"format": 1, "id": "a" * 16, "name": "v", "created": "2026-01-01T00:00:00Z", "spec": {}}
    return json.dumps({**usual, **differently}).encode()


@pytest.mark.parametrize(
    "differently",
    [
        {"name": "../../x"},
        {"name": "\x1b[31mred"},
        {"spec": {"uid": -5}},
        {"spec": {"gid": 2**70}},
        {"spec": {"mode": 0o10000}},
        {"spec": {"mode": -1}},
        {"spec": {"path": "../../x"}},
        {"spec": {"path": "/a\0b"}},
        {"spec": {"path": "/a\x1b[31mred\nline"}},
        {"spec": {"path": "/srv/x", "on_remove": "delete"}},
        {"spec": {"type": "tmpfs"}},
        {"spec": {"type": "tmpfs", "device": "--help"}},
        {"spec": {"type": "nfs", "device": "-x:/y"}},
        {"spec": {"subdir": "../.."}},
        {"labels": {"a b": "x"}},
        {"labels": {"a": "\x1b[31mred"}},
    ],
    ids=str,
)
def test_what_none_can_ask_for_is_unreadable(differently: dict[str, Any]) -> None:
    """Options in a manifest must follow the rules for options that come from an engine."""
    with pytest.raises(manifest.ManifestUnreadable):
        manifest.decode(written(**differently))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house whose daemon does not run yet."""
    made = House(tmp_path)
    yield made
    made.close()


def place(directory: Path, content: bytes) -> None:
    """Put a volume of somebody's making into a pool."""
    (directory / "_data").mkdir(parents=True)
    (directory / "volume.json").write_bytes(content)


def test_a_manifest_cannot_bypass_the_rules_for_paths(house: House, tmp_path: Path) -> None:
    """A path in a manifest is mounted, and given an owner, only if `-o path=` could name it."""
    before = Path("/etc").stat()
    place(tmp_path / "pool/volumes/v", written(spec={"path": "/etc", "uid": before.st_uid, "mode": 0o755}))
    place(tmp_path / "pool/volumes/w", written(id="b" * 16, spec={"path": str(tmp_path / "state"), "mode": 0o777}))
    house = house.reopened()
    with pytest.raises(StorageFailed, match=r"volume 'v' cannot be used: path /etc is refused: .* system directory"):
        house.volumes.mount("v", "m")
    with pytest.raises(StorageFailed, match=r"volume 'w' cannot be used: path .* overlaps with pyvol's own directory"):
        house.volumes.mount("w", "m")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) != 0o777
    house.close()


def test_odd_names_stop_no_start(house: House, tmp_path: Path) -> None:
    """Directories with names that pyvol never makes are left alone, and the doctor reports them."""
    pool = os.fsencode(tmp_path / "pool")
    for base in (b"/volumes/", b"/trash/"):
        for name in (b"\xff\xfe", b"new\nline", b"\x1b[2J"):
            place(Path(os.fsdecode(pool + base + name)), written())
    house = house.reopened()
    assert house.volumes.all() == []
    assert house.trash.all() == []
    assert len([e for e in house.log.events if "directory left alone" in str(e)]) == 6
    house.close()


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFIFO, stat.S_IFREG])
def test_an_endless_manifest_is_not_read_to_its_end(house: House, tmp_path: Path, kind: int) -> None:
    """A device, a pipe or a huge file in its place makes the volume unreadable, and takes no memory."""
    place(tmp_path / "pool/volumes/v", b"")
    file = tmp_path / "pool/volumes/v/volume.json"
    file.unlink()
    os.mknod(file, kind | 0o600, os.makedev(1, 5))
    if kind == stat.S_IFREG:
        os.truncate(file, 1 << 40)
    house = house.reopened()
    assert house.volumes.get("v").phase is Phase.UNREADABLE
    assert to_json(house.doctor.examine())
    house.close()
