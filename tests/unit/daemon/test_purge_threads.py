"""What deletes in the background, each pool by a thread of its own."""

import threading
import time
from pathlib import Path

import pytest

from fakes import FakeLog
from pyvol.config import settings
from pyvol.daemon.app import Daemon
from pyvol.storage.local.pool import LocalPool

PATIENCE_S = 30.0


def test_a_deletion_that_takes_long_holds_up_no_other_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a large tree of a slow disk is deleted, what was removed from another pool goes, and the trash expires."""
    under_way, done = threading.Event(), threading.Event()
    delete = LocalPool.purge

    def purge(pool: LocalPool, volume_id: str) -> None:
        if pool.name == "slow":
            under_way.set()
            done.wait(PATIENCE_S)
        delete(pool, volume_id)

    monkeypatch.setattr(LocalPool, "purge", purge)
    for root in ("root", "slow"):
        (tmp_path / root).mkdir()
    file = tmp_path / "pyvol.toml"
    file.write_text(f'root = "{tmp_path}/root"\n[pools.slow]\nkind = "local"\npath = "{tmp_path}/slow"\n')
    file.chmod(0o600)
    daemon = Daemon(settings.load({"config": str(file)}, {}), FakeLog())
    daemon.start()
    asked = daemon.flask.test_client()

    def remove_one(pool: str) -> None:
        for verb, opts in (("Create", {"pool": pool, "on_remove": "delete"}), ("Remove", {})):
            reply = asked.post(f"/VolumeDriver.{verb}", json={"Name": "v", "Opts": opts})
            assert reply.json == {"Err": ""}

    remove_one("slow")
    assert under_way.wait(PATIENCE_S)
    for _ in range(2):
        remove_one("default")
        await_empty(tmp_path / "root/staging")
    assert list((tmp_path / "slow/staging").iterdir())
    done.set()
    await_empty(tmp_path / "slow/staging")
    daemon.stopping()
    daemon.stop()


def await_empty(directory: Path) -> None:
    """Wait until nothing is in a directory."""
    end = time.monotonic() + PATIENCE_S
    while list(directory.iterdir()):
        assert time.monotonic() < end
        time.sleep(0.01)
