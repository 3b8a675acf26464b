"""Answers of the kernel, and messages of mount(8), that are rare."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyvol.core.errors import StorageFailed
from pyvol.host.mounts import bind, mount, mountinfo
from pyvol.host.mounts.mount import MountFailed
from pyvol.host.mounts.table import PF_KTHREAD, KernelMounts

ROOT = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
BIND = "9 1 8:1 /v /data rw - ext4 /dev/sda1 rw\n"


def write_process(proc: Path, pid: str, table: str | None = None) -> Path:
    """Write a process with its own mount namespace into a /proc."""
    place = proc / pid
    (place / "ns").mkdir(parents=True)
    (place / "ns/mnt").symlink_to(f"mnt:[{pid}]")
    (place / "stat").write_text(f"{pid} (sh) S {int(pid == 'self')} 0")
    if table is not None:
        (place / "mountinfo").write_text(table)
    return place


def test_processes_that_pyvol_may_not_see_are_listed(tmp_path: Path) -> None:
    """Process 1 runs no container, and a process that has just ended is not hidden."""
    (tmp_path / "ended").mkdir()
    for pid in ("1", "7"):
        write_process(tmp_path, pid)
    (tmp_path / "8").mkdir()
    assert KernelMounts(str(tmp_path)).unseen() == []


def test_a_process_of_another_user_is_unseen(tmp_path: Path) -> None:
    """Without CAP_SYS_PTRACE the kernel does not say in which namespace it is."""
    script = (
        "import os, sys\nfrom pyvol.host.mounts.table import KernelMounts\n"
        "os.setresuid(65534, 65534, 65534)\nprint(sys.argv[1] in KernelMounts().unseen(), KernelMounts().host())\n"
    )
    with subprocess.Popen(["sleep", "300"]) as other:
        done = subprocess.run(
            [sys.executable, "-c", script, str(other.pid)], capture_output=True, text=True, check=True
        )
        other.kill()
    assert done.stdout.split()[0] == "True"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ESRCH, errno.EACCES])
def test_a_table_that_cannot_be_read_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A process that has ended has no mounts (EINVAL, ESRCH). After another error it may use anything."""
    write_process(tmp_path, "self", ROOT + "2 1 0:33 / /nas rw - nfs4 nas.lan:/pool rw\n")
    place = write_process(tmp_path, "77", BIND)
    really_open = open

    def failing(path: object, *arguments: object, **keywords: object) -> object:
        if path == f"{place}/mountinfo":
            raise OSError(code, os.strerror(code))
        return really_open(path, *arguments, **keywords)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", failing)
    mounts = KernelMounts(str(tmp_path))
    if code == errno.EACCES:
        with pytest.raises(StorageFailed, match="/nas/v"):
            mounts.users("/nas/v")
    else:
        assert mounts.read("77") == []


def test_a_mount_that_appears_after_the_table_was_read_is_in_doubt(tmp_path: Path) -> None:
    """Nothing is known about its users, so it counts as used."""
    (tmp_path / "proc/self/fdinfo").mkdir(parents=True)
    (tmp_path / "proc/self/fd").mkdir()
    (tmp_path / "proc/self/mountinfo").write_text(ROOT)
    for number in range(1024):
        (tmp_path / f"proc/self/fdinfo/{number}").write_text("mnt_id:\t99\n")
        (tmp_path / f"proc/self/fd/{number}").symlink_to(tmp_path)
    with pytest.raises(StorageFailed, match="Resource temporarily unavailable"):
        KernelMounts(str(tmp_path / "proc")).users(str(tmp_path))


@pytest.mark.parametrize("flags", [PF_KTHREAD, 0])
def test_only_children_of_kthreadd_are_passed_over(tmp_path: Path, flags: int) -> None:
    """In another PID namespace process 2 may be anything."""
    write_process(tmp_path, "self", ROOT)
    write_process(tmp_path, "77", ROOT + BIND)
    second = write_process(tmp_path, "2", ROOT)
    (second / "stat").write_text(f"2 (kthreadd) S 0 0 0 0 -1 {flags}")
    (second / "task/2").mkdir(parents=True)
    (second / "task/2/children").write_text("77 78 ")
    others = dict(KernelMounts(str(tmp_path))._other_tables())
    assert ("77" in others) is (flags == 0)


def test_a_command_without_a_name_is_a_process(tmp_path: Path) -> None:
    """It has ended since its mounts were read."""
    assert KernelMounts(str(tmp_path))._command("77") == "a process"


def test_pyvol_in_its_own_process_namespace_does_not_see_the_host(tmp_path: Path) -> None:
    """There is no process above it."""
    write_process(tmp_path, "self", ROOT)
    write_process(tmp_path, "1")
    (tmp_path / "1/ns/mnt").unlink()
    (tmp_path / "1/ns/mnt").symlink_to("mnt:[self]")
    (tmp_path / "1/stat").write_text("1 (init) S 0 0")
    assert KernelMounts(str(tmp_path)).host() is None
    (tmp_path / "1/stat").unlink()
    assert KernelMounts(str(tmp_path)).host() is None


def test_a_directory_beside_a_remote_file_system_is_local() -> None:
    """Its path alone decides, because looking at it could block."""
    table = ROOT + "2 1 0:33 / /nas rw - nfs4 nas.lan:/pool rw\n3 2 8:1 / /nas/local rw - ext4 /dev/sda1 rw\n"
    assert mountinfo.find_remote(table, "/srv") is None
    assert mountinfo.find_remote(table, "/nas/local/x") is None
    assert mountinfo.find_remote(table, "/nas") == ("0:33", "nas.lan:/pool")
    assert mountinfo.find_remote(table, "/nas/v") == ("0:33", "nas.lan:/pool/v")


def test_a_mount_whose_parent_is_not_seen_equals_no_other() -> None:
    """The parent of the root is in no namespace."""
    first, second = (mountinfo.parse_line(f"{number} 0 8:1 / / rw - ext4 /dev/sda1 rw") for number in (1, 2))
    assert mountinfo.origin(first, [first]) != mountinfo.origin(second, [second])


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mount(8) that a test writes."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "mount"


@pytest.mark.parametrize(
    ("said", "options", "code", "message"),
    [
        ("mount.nfs: access denied by server", "soft", errno.EACCES, "access denied by server (options soft)"),
        ("mount: /x: unknown problem.", "", errno.EIO, "unknown problem"),
        ("", "", errno.EIO, "mount exited 32"),
        ("mount.nfs: rpc.statd is not running", "vers=3", errno.EIO, "NFSv3 locks need rpc.statd"),
        ("  dmesg(1) may have more\nmount: bad usage", "", errno.EINVAL, "bad usage"),
    ],
)
def test_a_message_of_mount_becomes_an_error(program: Path, said: str, options: str, code: int, message: str) -> None:
    """Its meaning is the kernel's number; its text is for people."""
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' '{said}' >&2\nexit 32\n")
    program.chmod(0o755)
    with pytest.raises(MountFailed) as raised:
        mount.mount("nfs", "nas.lan:/", "/x", options, KernelMounts())
    assert raised.value.errno == code
    assert message in str(raised.value.strerror)


def test_a_system_without_mount_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example a container without util-linux."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MountFailed, match=r"this system has no mount\(8\)"):
        mount.mount("nfs", "nas.lan:/", "/x", "", KernelMounts())


def test_an_unmount_of_a_used_mount_is_refused(tmp_path: Path) -> None:
    """The kernel says EBUSY; where nothing is mounted there is nothing to do."""
    assert mount.unmount(str(tmp_path)) is False
    assert mount.unmount(str(tmp_path / "missing")) is False
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
    try:
        with (tmp_path / "open").open("w"), pytest.raises(OSError, match="busy"):
            mount.unmount(str(tmp_path))
    finally:
        assert mount.unmount(str(tmp_path))


def test_a_directory_that_cannot_be_shown_is_an_error(tmp_path: Path) -> None:
    """The message is mount(8)'s."""
    with pytest.raises(OSError, match="missing"):
        bind.show(str(tmp_path / "missing"), str(tmp_path / "target"), KernelMounts())
    assert bind.reaches_host(str(tmp_path / "target"), KernelMounts())  # not known
    assert bind.place_on_host(str(tmp_path / "target"), KernelMounts()) is None
