"""What is told of a pool's mount that could not be made."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from fakes import FakeJournal
from pyvol.core.errors import StorageFailed
from pyvol.core.exports import Export
from pyvol.core.pool import Fact
from pyvol.host.mounts import KernelMounts
from pyvol.storage.export_mount import ExportMount
from pyvol.storage.identity import Remembered
from pyvol.storage.orders import Place
from pyvol.storage.trouble import on_export, told


class Refusing:
    """A server whose child says that there is no mount.nfs; then one that does not answer."""

    def __init__(self) -> None:
        self.is_heard = True
        self.meanwhile: Callable[[], object] = lambda: None

    def ask(self, *_: object) -> None:
        """See `pyvol.storage.servers.Server`."""
        self.meanwhile()
        if not self.is_heard:
            raise StorageFailed("nas.lan does not answer")
        with told("pool 'nas'", "mount nas.lan:/"):
            raise OSError(errno.ENOPKG, "this system has no mount.nfs")


def test_why_it_is_not_mounted_is_told_until_the_server_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor would send people to the server, where nothing is wrong; also while it is tried again."""
    monkeypatch.setattr("pyvol.storage.trouble.NEXT_STEP", {})
    on_export()
    server = Refusing()
    place = Place("nas", str(tmp_path), "host-a")
    export = Export("nas.lan", "/", "")
    journal = FakeJournal()
    remembered = Remembered(str(tmp_path / "pool-nas"), journal)
    mount = ExportMount(place, export, cast("Any", server), KernelMounts("/proc"), journal, lambda: False, remembered)
    assert mount.condition() == ("mount", "nas.lan:/ is not mounted", False, "")
    with pytest.raises(StorageFailed):
        mount.see()
    says = "pool 'nas': could not mount nas.lan:/: this system has no mount.nfs"
    assert mount.condition() == ("mount", says, False, "install nfs-common (or nfs-utils)")
    told_meanwhile: list[Fact] = []
    server.meanwhile = lambda: told_meanwhile.append(mount.condition())
    server.is_heard = False
    with pytest.raises(StorageFailed):
        mount.see()
    assert mount.condition() == ("mount", "nas.lan:/ is not mounted", False, "")
    assert told_meanwhile == [("mount", says, False, "install nfs-common (or nfs-utils)")]
