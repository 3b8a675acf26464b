"""What pyvol reports of a pool's mount that could not be made."""

import errno
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from fakes import FakeLog
from pyvol.core.errors import ServerDown, StorageFailed
from pyvol.core.model.mount_spec import NfsExport
from pyvol.core.ports.pool import Condition
from pyvol.host.mounts.table import KernelMounts
from pyvol.storage.nfs.export_mount import ExportMount
from pyvol.storage.nfs.pool_id import UNNAMED, KnownPoolId, identify
from pyvol.storage.remote.messages import Place

SUMMARY = "pool 'nas' cannot be mounted from nas.lan:/: this system has no mount.nfs"
HINT = "install nfs-common (or nfs-utils)"


class Refusing:
    """A server whose worker finds no mount.nfs; then one that does not answer."""

    def __init__(self) -> None:
        self.answers = True
        self.while_asked: Callable[[], object] = lambda: None

    def ask(self, *_: object) -> None:
        """See `pyvol.storage.remote.server.Server`."""
        self.while_asked()
        if not self.answers:
            raise ServerDown("nas.lan does not answer")
        raise StorageFailed(SUMMARY, hint=HINT) from OSError(errno.ENOPKG, "this system has no mount.nfs")


def test_the_reason_of_a_failed_mount_is_reported_until_the_server_is_the_reason(tmp_path: Path) -> None:
    """Otherwise the doctor would blame the server, which is healthy; also while pyvol tries again."""
    server = Refusing()
    place = Place("nas", str(tmp_path), "host-a")
    export = NfsExport("nas.lan", "/", "")
    log = FakeLog()
    known_pool_id = KnownPoolId(str(tmp_path / "pool-nas"), log)
    mount = ExportMount(place, export, cast("Any", server), KernelMounts("/proc"), log, lambda: False, known_pool_id)
    assert mount.condition() == ("mount", "nas.lan:/ is not mounted", False, "")
    with pytest.raises(StorageFailed):
        mount.ensure_mounted()
    assert mount.condition() == ("mount", SUMMARY, False, HINT)
    reported: list[Condition] = []
    server.while_asked = lambda: reported.append(mount.condition())
    server.answers = False
    with pytest.raises(StorageFailed):
        mount.ensure_mounted()
    assert mount.condition() == ("mount", "nas.lan:/ is not mounted", False, "")
    assert reported == [("mount", SUMMARY, False, HINT)]


class Answering:
    """A server whose worker finds the pools of these ids, one after the other."""

    def __init__(self, *found: str) -> None:
        self._found = iter(found)

    def ask(self, *_: object) -> str:
        """See `pyvol.storage.remote.server.Server`."""
        return next(self._found)

    def force(self, *_: object) -> None:
        """See `pyvol.storage.remote.server.Server`."""


def test_a_pool_that_gets_its_id_later_is_the_same(tmp_path: Path) -> None:
    """Its root could not be written.

    Once it has an id, no pool with another id or without one is accepted.
    """
    server = Answering(UNNAMED, "a", UNNAMED, "b")
    log = FakeLog()
    known_pool_id = KnownPoolId(str(tmp_path / "pool-nas"), log)
    place, export = Place("nas", str(tmp_path), "host-a"), NfsExport("nas.lan", "/", "")
    mount = ExportMount(place, export, cast("Any", server), KernelMounts("/proc"), log, lambda: True, known_pool_id)
    mount.confirm()
    mount.confirm()
    for _ in range(2):
        with pytest.raises(StorageFailed, match="contains a different pool"):
            mount.confirm()


def test_an_unreadable_record_of_the_pool_is_not_a_missing_record(tmp_path: Path) -> None:
    """With an unreadable record any pool could be wrong, and pyvol would forget the right one's volumes."""
    server = Answering("b", "b")
    record = tmp_path / "pool-nas"
    record.mkdir()
    known_pool_id = KnownPoolId(str(record), FakeLog())
    place, export = Place("nas", str(tmp_path), "host-a"), NfsExport("nas.lan", "/", "")
    kernel = KernelMounts("/proc")
    mount = ExportMount(place, export, cast("Any", server), kernel, FakeLog(), lambda: True, known_pool_id)
    with pytest.raises(
        StorageFailed, match=f"pool 'nas' cannot be used: the file {record}, which records .* cannot be read"
    ):
        mount.confirm()
    record.rmdir()
    mount.confirm()
    assert known_pool_id.read() == "b"


def test_an_empty_record_of_the_pool_is_not_a_missing_record(tmp_path: Path) -> None:
    """An empty record does not mean that no pool is known."""
    record = tmp_path / "pool-nas"
    known_pool_id = KnownPoolId(str(record), FakeLog())
    known_pool_id.write("")
    assert known_pool_id.read() == ""
    record.write_bytes(b"")
    with pytest.raises(StorageFailed, match=f"the file {record}, which records .* cannot be read: it is empty"):
        known_pool_id.read()


def test_on_a_full_disk_a_pool_has_no_id(tmp_path: Path) -> None:
    """A pool whose disk has no room for an id can be used, and has one when there is room."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", tmp_path], check=True)
    try:
        data = tmp_path / "data"
        data.write_bytes(bytes(4096))
        assert identify(str(tmp_path)) == UNNAMED
        assert list(tmp_path.iterdir()) == [data]
        data.unlink()
        assert identify(str(tmp_path)) == identify(str(tmp_path)) != UNNAMED
    finally:
        subprocess.run(["umount", tmp_path], check=True)
