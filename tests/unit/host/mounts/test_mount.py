"""The errors of mount(8)."""

import errno
import os
from pathlib import Path

import pytest

from pyvol.host.mounts import mount
from pyvol.host.mounts.mount import MountFailed
from pyvol.host.mounts.table import KernelMounts


def test_the_error_of_a_mount_contains_no_secret(tmp_path: Path) -> None:
    """Neither in the options nor in the message of mount(8)."""
    with pytest.raises(MountFailed) as raised:
        mount.mount("tmpfs", "tmpfs", str(tmp_path), "size=1M,password=hunter2", KernelMounts())
    assert "password=********" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_mount_that_mounts_nothing_fails(tmp_path: Path) -> None:
    """With `nofail`, mount(8) succeeds without a source, and a container would write to the host's disk."""
    with pytest.raises(MountFailed, match="mounted nothing"):
        mount.mount("none", str(tmp_path / "missing"), str(tmp_path), "bind,nofail", KernelMounts())


def test_a_missing_helper_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mount(8) reports a bad option; the cause is that nfs-common is not installed."""
    program = tmp_path / "mount"
    program.write_text(
        "#!/bin/sh\n"
        "echo 'mount: /x: bad option; for several filesystems (e.g. nfs, cifs) you might need a /sbin/mount.<type> "
        "helper program.' >&2; exit 32\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(MountFailed) as raised:
        mount.mount("nfs", "nas.lan:/", "/x", "vers=4.2", KernelMounts())
    assert (raised.value.errno, raised.value.strerror) == (errno.ENOPKG, "this system has no mount.nfs")
