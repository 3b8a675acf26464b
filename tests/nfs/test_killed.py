"""Promise 2 with NFS: pyvol is killed between the steps of a verb, and its next run repairs the state."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .hosts import Host
from .server import NfsServer

pytestmark = pytest.mark.guest


@pytest.mark.parametrize(
    ("kind", "verb", "first", "every"),
    [
        ("plain", "mount", 0, 1),
        ("plain", "unmount", 0, 1),
        ("pool", "mount", 0, 2),
        ("pool", "mount", 1, 2),
        ("pool", "unmount", 0, 1),
    ],
)
def test_killed_between_steps(  # noqa: PLR0917  # the verb, and the place of the kill
    kind: str, verb: str, first: int, every: int, server: NfsServer, one: Host, tmp_path: Path
) -> None:
    """After a kill at any step, exactly the claimed volumes are mounted and locked, once each."""
    done = subprocess.run(
        [*one.enter(), sys.executable, "-m", "nfs.killed", str(tmp_path / "root"), kind, verb, str(first), str(every)],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == [], f"{found['steps']}\n{done.stderr[-4000:]}"
    assert len(found["steps"]) > 2
