"""Who has a directory mounted: asked of the real kernel, with real mount namespaces."""

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
    """A process in a mount namespace of its own that has source bound to target; yields its pid."""
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
    """A directory with another beside it, whose name begins alike."""
    for name in ("vol1/_data/sub", "vol10/_data", "target"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path / "vol1/_data"


def test_a_bind_in_another_namespace_is_seen_until_it_ends(directory: Path) -> None:
    """That is how a container uses a volume; umount(2) here would succeed all the same (facts 24 and 32)."""
    mounts = KernelMounts()
    assert mounts.users(str(directory)) == []
    target = directory.parent.parent / "target"
    with container(directory, target) as pid:
        (user,) = mounts.users(str(directory))
        assert (user.pid, user.command, user.mountpoint) == (pid, "sleep", str(target))
    assert mounts.users(str(directory)) == []


def test_a_bind_of_a_directory_below_is_a_use(directory: Path) -> None:
    """volume-subpath shows a container a part of the volume."""
    with container(directory / "sub", directory.parent.parent / "target"):
        assert len(KernelMounts().users(str(directory))) == 1


def test_many_directories_are_asked_for_at_once(directory: Path) -> None:
    """No means that nobody has any of them; yes, that each has to be asked for."""
    mounts, beside = KernelMounts(), directory.parent.parent
    many = [str(directory), str(beside / "vol10/_data")]
    for place in [f"{beside}/gone/{name}" for name in "ab"], many:
        assert not mounts.might_use(place)
    with container(beside / "vol10/_data", beside / "target"):
        assert mounts.might_use(many)
        assert mounts.users(many[1])


def test_a_neighbour_with_a_like_name_is_no_use(directory: Path) -> None:
    """vol10 in use says nothing of vol1."""
    with container(directory.parent.parent / "vol10/_data", directory.parent.parent / "target"):
        assert KernelMounts().users(str(directory)) == []


def test_a_bind_on_the_host_is_a_use(directory: Path) -> None:
    """`docker cp` binds in the host's own namespace (engine fact 7)."""
    target = directory.parent.parent / "target"
    subprocess.run(["mount", "--bind", directory, target], check=True)
    try:
        (user,) = KernelMounts().users(str(directory))
        assert user.mountpoint == str(target)
    finally:
        subprocess.run(["umount", target], check=True)


def test_a_copy_of_our_own_mounts_is_no_use(tmp_path: Path) -> None:
    """A directory that is itself a mountpoint is in every namespace that began as a copy of ours."""
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


def test_what_comes_along_with_our_whole_root_is_no_use(tmp_path: Path) -> None:
    """Monitors run with `-v /:/host`, and so have each mount of the host; what one has elsewhere it uses."""
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


def test_what_comes_along_with_a_whole_pool_is_no_use(tmp_path: Path) -> None:
    """Backups run with `-v /var/lib/pyvol:/backup`, and so have each mounted volume; what they mount alone they use."""
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


def test_a_container_at_the_same_place_as_ours_is_a_use(tmp_path: Path) -> None:
    """A disk that is mounted on the host at /srv/media, and in a container with a root of its own at the same path."""
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
    """Spaces, tabs and backslashes stand as octal in mountinfo, see proc_pid_mountinfo(5)."""
    source, target = tmp_path / "a b\\c", tmp_path / "t\tt"
    source.mkdir()
    target.mkdir()
    with container(source, target):
        (user,) = KernelMounts().users(str(source))
        assert user.mountpoint == str(target)


def test_a_missing_directory_has_no_users(tmp_path: Path) -> None:
    """What is not there, nobody uses."""
    assert KernelMounts().users(str(tmp_path / "nope")) == []


def test_a_process_that_ended_is_passed_over(tmp_path: Path) -> None:
    """Processes end while they are looked at."""
    process = subprocess.Popen(["unshare", "--mount", "true"])
    while Path(f"/proc/{process.pid}/stat").read_text().split()[2] != "Z":
        time.sleep(0.01)
    assert KernelMounts().users(str(tmp_path)) == []
    process.wait()


def test_a_mountpoint_with_a_line_separator_hides_nothing(directory: Path) -> None:
    """The kernel escapes the newline alone; what else str.splitlines takes for an end of line stays in the line."""
    target = directory.parent.parent / "t\x0ct\u2028t"
    target.mkdir()
    with container(directory, target):
        (user,) = KernelMounts().users(str(directory))
        assert user.mountpoint == str(target)


def test_a_process_whose_parent_only_looks_like_kthreadd_is_seen(directory: Path) -> None:
    """In a PID namespace of its own process 2 is anybody; its children are looked at (engine fact 32)."""
    target = directory.parent.parent / "target"
    # Process 1 starts process 2, the shell whose child has the volume, and then asks.
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
