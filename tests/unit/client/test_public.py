"""What scripts may import from pyvol: `pyvol.client`."""

import subprocess
import sys
from pathlib import Path

from answering import engine
from pyvol import client

VOLUME = {
    "name": "data",
    "id": "0123456789abcdef",
    "pool": "default",
    "mountpoint": "/var/lib/pyvol/volumes/data/_data",
    "created": "2026-01-31T12:00:00Z",
    "options": {},
    "claims": 0,
    "health": "ok",
    "on_remove": "moves it to the trash, for 7d",
    "added by a newer pyvol": 1,
}
DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_public_names() -> None:
    """These stay; all other modules can change."""
    assert client.__all__ == ["Client", "RequestRefused"]
    assert all(hasattr(client, name) for name in client.__all__)


def test_the_example_of_the_docs_works(tmp_path: Path) -> None:
    """It prints each volume with its health, also of a daemon that sends more fields."""
    (page,) = [page.read_text() for page in DOCS.rglob("*.md") if "from pyvol.client import Client" in page.read_text()]
    (example,) = [block.partition("```")[0] for block in page.split("```python\n")[1:]]
    path = "/run/docker/plugins/pyvol.sock"
    assert path in example
    with engine(tmp_path / "p.sock", {"/v1/volumes": [VOLUME]}) as socket:
        program = example.replace(path, socket)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "data ok\n"
