"""The program that counts, on real directories, beside du."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyvol.host.files.disk_usage import PROGRAM, Counter


@pytest.fixture
def counter() -> Iterator[Counter]:
    """A child that counts."""
    made = Counter()
    yield made
    made.rest()


def on_progress(_: int, __: int) -> None:
    """Hear nothing."""


def du(path: Path) -> int:
    """What GNU du says, in bytes on the disk."""
    done = subprocess.run(["du", "-s", "-x", "--block-size=1", path], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def test_it_counts_as_du_does(tmp_path: Path, counter: Counter) -> None:
    """Directories, files, links, holes, odd names; a file with several names once."""
    (tmp_path / "below/deeper").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "below/link").symlink_to("/etc")
    os.link(tmp_path / "file", tmp_path / "below/same")
    with (tmp_path / "below/hole").open("wb") as sparse:
        sparse.truncate(1 << 30)
    (tmp_path / "below/deeper" / os.fsdecode(b"\xff\n")).write_bytes(b"y")
    os.mkfifo(tmp_path / "pipe")
    assert counter.count(str(tmp_path), 0, on_progress) == (du(tmp_path), 5, "")
    assert counter.count(str(tmp_path), 0, on_progress)[0] < 1 << 20


def test_many_files_cost_no_memory(tmp_path: Path, counter: Counter) -> None:
    """The child that has counted 40,000 files, half of them second names, is as big as after a few."""

    def peak_kib() -> int:
        assert counter._child is not None
        status = Path(f"/proc/{counter._child.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])

    counter.count(str(tmp_path), 0, on_progress)
    before = peak_kib()
    for number in range(20_000):
        file = tmp_path / str(number)
        file.touch()
        os.link(file, tmp_path / f"{number}-again")
    assert counter.count(str(tmp_path), 0, on_progress)[1] == 20_000
    assert peak_kib() - before < 1024


def test_depth_is_no_matter(tmp_path: Path, counter: Counter) -> None:
    """A path that is longer than the kernel takes at once is counted to its end."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d" * 20, dir_fd=here)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    size, files, trouble = counter.count(str(tmp_path), 0, on_progress)
    assert (files, trouble) == (1, "")
    assert size == du(tmp_path)


@pytest.mark.parametrize("source", [["-t", "tmpfs", "none"], ["--bind", "beside"]], ids=["tmpfs", "bind"])
def test_what_is_mounted_there_is_not_counted(tmp_path: Path, counter: Counter, source: list[str]) -> None:
    """It is not the volume's, also where it is a directory of the same disk."""
    root = tmp_path / "root"
    (root / "mnt").mkdir(parents=True)
    (tmp_path / "beside").mkdir()
    before = counter.count(str(root), 0, on_progress)
    subprocess.run(["mount", *source, root / "mnt"], check=True, cwd=tmp_path)
    try:
        (root / "mnt/file").write_bytes(b"x" * 100_000)
        assert counter.count(str(root), 0, on_progress)[1:] == before[1:]
    finally:
        subprocess.run(["umount", root / "mnt"], check=True)


def test_a_child_whose_parent_was_killed_says_nothing() -> None:
    """No traceback in the log when its answers are read no longer."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        child.stdin.write(b'["/nobody", 0]\n')
        child.stdin.close()
        assert child.stderr.read() == b""


def test_what_is_missing_or_no_directory_is_named(tmp_path: Path, counter: Counter) -> None:
    """A symlink in the place of a volume is never followed."""
    assert "No such file" in counter.count(str(tmp_path / "nobody"), 0, on_progress)[2]
    (tmp_path / "link").symlink_to("/")
    assert counter.count(str(tmp_path / "link"), 0, on_progress)[1:] == (0, f"{tmp_path}/link: Not a directory")


def test_a_child_that_is_killed_is_replaced(tmp_path: Path, counter: Counter) -> None:
    """One count fails; the next is made by another child; after the end there is none."""
    counter.count(str(tmp_path), 0, on_progress)
    assert counter._child is not None
    counter._child.kill()
    counter._child.wait()
    with pytest.raises(OSError, match=r"ended|Broken pipe"):
        counter.count(str(tmp_path), 0, on_progress)
    assert counter.count(str(tmp_path), 0, on_progress)[1] == 0
    counter.end()
    with pytest.raises(ChildProcessError):
        counter.count(str(tmp_path), 0, on_progress)


def test_a_tree_that_is_too_deep_costs_no_files(tmp_path: Path, counter: Counter) -> None:
    """Where the child may open no more files it says that there is more, and the next count is whole again."""
    counter.count(str(tmp_path), 0, on_progress)
    assert counter._child is not None
    pid = counter._child.pid
    before = len([*Path(f"/proc/{pid}/fd").iterdir()])
    most = before + 20  # two for each level: with one more, the last is opened and cannot be listed
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most + 1, most + 1))
    (tmp_path / "deep" / "/".join("d" * 40)).mkdir(parents=True)
    assert counter.count(str(tmp_path / "deep"), 0, on_progress)[2] == "d: Too many open files"
    assert len([*Path(f"/proc/{pid}/fd").iterdir()]) == before


def test_it_counts_beside_a_thousand_open_files(tmp_path: Path, counter: Counter) -> None:
    """A daemon that keeps the locks of many volumes has more of them than select(2) knows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    null = os.open(os.devnull, os.O_RDONLY)
    others = [null, *(os.dup(null) for _ in range(1024))]
    try:
        assert counter.count(str(tmp_path), 0, on_progress)[1] == 0
    finally:
        for file in others:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
