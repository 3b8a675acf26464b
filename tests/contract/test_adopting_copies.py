"""Copies that `pyvol adopt` makes between real file systems, and what they keep."""

import os
import struct
from pathlib import Path

import pytest

from pyvol.api.v1.schema.adopt import Adopt, AdoptKind, AdoptMethod, AdoptPlan
from pyvol.client.pyvol_api import RequestRefused
from served import Served

HOLE = 1 << 24
ACL_VERSION = 2
NOBODY = 0xFFFFFFFF
ACL = struct.pack("<I", ACL_VERSION) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in [(1, 6, NOBODY), (2, 4, 7), (4, 4, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY)]
)
"""In the kernel's format: the entries of the owner, user 7, the group, the mask, and all others."""


@pytest.fixture
def source(scratch: Path) -> Path:
    """Yield a directory in memory with all kinds of files, as an engine has it."""
    data = scratch / "docker/volumes/v/_data"
    data.mkdir(parents=True, mode=0o2751)
    (data / "file").write_text("kept")
    (data / "file").chmod(0o4711)
    os.link(data / "file", data / "link")
    (data / "symlink").symlink_to("nowhere")
    os.mkfifo(data / "pipe")
    with (data / "sparse").open("wb") as sparse:
        sparse.truncate(HOLE)
    os.utime(data / "sparse", ns=(1, 123456789))
    (data / "shared").touch()
    os.setxattr(data / "shared", "system.posix_acl_access", ACL)
    os.setxattr(data, "system.posix_acl_default", ACL)
    if os.geteuid() == 0:
        os.chown(data / "symlink", 7, 8, follow_symlinks=False)
        os.chown(data, 9, 10)
        data.chmod(0o2751)
        os.setxattr(data / "file", "trusted.pyvol", b"kept")
    return data


def attributes(path: Path) -> tuple[object, ...]:
    """Return the attributes of a file other than its content."""
    found = path.lstat()
    size = 0 if path.is_dir() else found.st_size  # the size of a directory depends on the file system
    xattrs = {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
    }
    return (found.st_mode, found.st_uid, found.st_gid, found.st_nlink, size, found.st_mtime_ns, xattrs)


def test_all_of_a_file_is_kept(served: Served, source: Path) -> None:
    """A copy keeps owners, modes, times, links, holes, pipes, ACLs and extended attributes, root included."""
    before = {path.name: attributes(path) for path in [source, *source.iterdir()]}
    with served.client() as client:
        job = client.adopt(Adopt("v", AdoptKind.ENGINE, source=str(source)))
        assert client.result(job, AdoptPlan).how is AdoptMethod.COPY
    data = served.root / "volumes/v/_data"
    assert {path.name: attributes(path) for path in [data, *data.iterdir()]} == before
    assert (data / "file").stat().st_ino == (data / "link").stat().st_ino
    assert (data / "sparse").stat().st_blocks * 512 < HOLE
    assert os.getxattr(data, "system.posix_acl_default") == ACL
    assert (data / "link").read_text() == "kept"


def test_a_volume_that_changes_while_it_is_copied_is_not_adopted(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a file changes during the copy, the volume is not adopted, because the copy could be incomplete."""
    (tmp_path / "bin").mkdir()
    cp = tmp_path / "bin/cp"
    cp.write_text(f'#!/bin/sh\n/bin/cp "$@" && echo late >> {source}/file\n')
    cp.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cp.parent}:{os.environ['PATH']}")
    served = Served(tmp_path)
    served.start()
    with served.client() as client:
        with pytest.raises(
            RequestRefused, match=f"'v' cannot be adopted: {source}/(file|link) was changed during the copy"
        ):
            client.result(client.adopt(Adopt("v", AdoptKind.ENGINE, source=str(source))), AdoptPlan)
        assert client.volumes() == []
    assert (source / "file").read_text() == "keptlate\n"
    assert list((served.root / "staging").iterdir()) == []
    served.stop()
