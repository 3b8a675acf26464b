"""The users of a directory, on the real kernel with real mount namespaces."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pyvol.host.mounts.table import KernelMounts


@contextmanager
def container(source: Path, target: Path, before: str = "true") -> Iterator[int]:
    """Start a process in its own mount namespace with a bind of source at target; yield its pid."""
    script = f'{before} && mount --bind "$0" "$1" && touch "$1/.ready" && exec sleep 300'
    process = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(source), str(target)]
    )
    try:
        deadline = time.monotonic() + 30
        while not (source / ".ready").exists() or Path(f"/proc/{process.pid}/comm").read_text().strip() != "sleep":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory beside another one with a similar name."""
    for name in ("vol1/_data/sub", "vol10/_data", "target"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path / "vol1/_data"


def test_a_bind_in_another_namespace_is_a_use_until_it_ends(directory: Path) -> None:
    """A container uses a volume like this; umount(2) on the host would still succeed (facts 24 and 32)."""
    mounts = KernelMounts()
    assert mounts.users(str(directory)) == []
    target = directory.parent.parent / "target"
    with container(directory, target) as pid:
        (user,) = mounts.users(str(directory))
        assert (user.pid, user.command, user.mountpoint) == (pid, "sleep", str(target))
    assert mounts.users(str(directory)) == []


def test_a_bind_of_a_directory_below_is_a_use(directory: Path) -> None:
    """With volume-subpath, a container has a part of the volume mounted."""
    with container(directory / "sub", directory.parent.parent / "target"):
        assert len(KernelMounts().users(str(directory))) == 1


def test_many_directories_are_checked_at_once(directory: Path) -> None:
    """False means that none of them is used; True means that each has to be checked."""
    mounts, beside = KernelMounts(), directory.parent.parent
    many = [str(directory), str(beside / "vol10/_data")]
    for place in [f"{beside}/gone/{name}" for name in "ab"], many:
        assert not mounts.might_use(place)
    with container(beside / "vol10/_data", beside / "target"):
        assert mounts.might_use(many)
        assert mounts.users(many[1])


def test_a_directory_with_a_similar_name_does_not_count(directory: Path) -> None:
    """A user of vol10 does not use vol1."""
    with container(directory.parent.parent / "vol10/_data", directory.parent.parent / "target"):
        assert KernelMounts().users(str(directory)) == []


def test_a_bind_on_the_host_is_a_use(directory: Path) -> None:
    """`docker cp` makes a bind in the namespace of the host (engine fact 7)."""
    target = directory.parent.parent / "target"
    subprocess.run(["mount", "--bind", directory, target], check=True)
    try:
        (user,) = KernelMounts().users(str(directory))
        assert user.mountpoint == str(target)
    finally:
        subprocess.run(["umount", target], check=True)


def test_a_copy_of_the_mounts_of_the_host_does_not_count(tmp_path: Path) -> None:
    """A mountpoint is in every namespace that began as a copy of the namespace of the host."""
    with ExitStack() as stack:
        (tmp_path / "disk").mkdir()
        (tmp_path / "other").mkdir()
        (tmp_path / "target").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "disk"], check=True)
        stack.callback(lambda: subprocess.run(["umount", "-l", tmp_path / "disk"], check=True))
        with container(tmp_path / "other", tmp_path / "target"):
            assert KernelMounts().users(str(tmp_path / "disk")) == []
        with container(tmp_path / "disk", tmp_path / "target"):
            assert [user.mountpoint for user in KernelMounts().users(str(tmp_path / "disk"))] == [
                str(tmp_path / "target")
            ]


def test_a_mount_of_the_whole_root_does_not_count(tmp_path: Path) -> None:
    """A monitor with `-v /:/host` has every mount of the host; only another mount of a directory is a use."""
    for name in ("disk", "host", "other", "target"):
        (tmp_path / name).mkdir()
    disk, target, root = tmp_path / "disk", tmp_path / "target", f"mount --rbind / {tmp_path}/host"
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
    try:
        with container(tmp_path / "other", target, root):
            assert KernelMounts().users(str(disk)) == []
        with container(disk, target, root):
            assert [user.mountpoint for user in KernelMounts().users(str(disk))] == [str(target)]
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_mount_of_a_whole_pool_does_not_count(tmp_path: Path) -> None:
    """A backup with `-v /var/lib/pyvol:/backup` has all volumes; only a mount of one volume is a use."""
    for name in ("pool/mounts/e", "backup", "other", "target"):
        (tmp_path / name).mkdir(parents=True)
    mounted, target, binds = tmp_path / "pool/mounts/e", tmp_path / "target", f"mount --rbind {tmp_path}/pool"
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mounted], check=True)
    try:
        with container(tmp_path / "other", target, f"{binds} {tmp_path}/backup"):
            assert KernelMounts().users(str(mounted)) == []
        with container(mounted, target, f"{binds} {tmp_path}/backup"):
            assert [user.mountpoint for user in KernelMounts().users(str(mounted))] == [str(target)]
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)


def test_a_mount_at_the_same_path_in_a_container_is_a_use(tmp_path: Path) -> None:
    """For example of a disk at /srv/media on the host, and at /srv/media of a container with its own root."""
    disk, root = tmp_path / "disk", tmp_path / "root"
    inside = root / disk.relative_to("/")
    disk.mkdir()
    for directory in ("bin", "old", "proc"):
        (root / directory).mkdir(parents=True)
    inside.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
    subprocess.run(["mount", "--bind", root, root], check=True)
    busybox = shutil.which("busybox")
    assert busybox, "busybox is among what scripts/setup installs"
    shutil.copy(busybox, root / "bin/busybox")
    inner = (
        f"mount --bind {disk} {inside} && cd {root} && pivot_root . old && "
        f"/bin/busybox touch {disk}/.ready && exec /bin/busybox sleep 300"
    )
    process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", inner])
    try:
        deadline = time.monotonic() + 30
        while not (disk / ".ready").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        assert str(disk) in {user.mountpoint for user in KernelMounts().users(str(disk))}
    finally:
        process.kill()
        process.wait()
        subprocess.run(["umount", "-l", root], check=True)
        subprocess.run(["umount", "-l", disk], check=True)


def test_names_that_mountinfo_escapes(tmp_path: Path) -> None:
    """Spaces, tabs and backslashes are octal in mountinfo, see proc_pid_mountinfo(5)."""
    source, target = tmp_path / "a b\\c", tmp_path / "t\tt"
    source.mkdir()
    target.mkdir()
    with container(source, target):
        (user,) = KernelMounts().users(str(source))
        assert user.mountpoint == str(target)


def test_a_missing_directory_has_no_users(tmp_path: Path) -> None:
    """The answer is an empty list, and not an error."""
    assert KernelMounts().users(str(tmp_path / "nope")) == []


def test_a_process_that_has_ended_is_ignored(tmp_path: Path) -> None:
    """Processes end while the others are checked."""
    process = subprocess.Popen(["unshare", "--mount", "true"])
    while Path(f"/proc/{process.pid}/stat").read_text().split()[2] != "Z":
        time.sleep(0.01)
    assert KernelMounts().users(str(tmp_path)) == []
    process.wait()


def test_a_mountpoint_with_a_line_separator_hides_nothing(directory: Path) -> None:
    """The kernel escapes only the newline; other line separators of str.splitlines stay in the line."""
    target = directory.parent.parent / "t\x0ct\u2028t"
    target.mkdir()
    with container(directory, target):
        (user,) = KernelMounts().users(str(directory))
        assert user.mountpoint == str(target)


def test_a_process_whose_parent_only_looks_like_kthreadd_is_seen(directory: Path) -> None:
    """In another PID namespace, process 2 can be any process; its children are checked (engine fact 32)."""
    target = directory.parent.parent / "target"
    # Process 1 starts process 2, a shell whose child has the volume mounted, and then looks for users.
    mount = 'mount --bind "$0" "$1" && touch "$0/.ready" && exec sleep 300'
    inner = """
        sh -c 'unshare --mount sh -c "$2" "$0" "$1" & wait' "$0" "$1" "$2" &
        while ! test -e "$0/.ready"; do sleep 0.05; done
        "$3" -c "$4" "$0"
    """
    script = (
        "import sys\n"
        "from pyvol.host.mounts.table import KernelMounts\n"
        "print([user.command for user in KernelMounts().users(sys.argv[1])])\n"
    )
    asked = subprocess.run(
        [
            *("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", inner),
            *(directory, target, mount, sys.executable, script),
        ],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert asked.stdout.strip() == "['sleep']"
