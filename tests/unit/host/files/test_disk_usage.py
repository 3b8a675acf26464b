"""Counting what a directory takes, on real directories, compared with du."""

import os
import resource
import signal
import subprocess
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from deadline import await_true
from pyvol.core.concurrency.task import Task
from pyvol.host.files import disk_usage
from pyvol.host.mounts.table import KernelMounts


def count(path: Path, task: Task | None = None, per_second: float = 0) -> tuple[int, int, str]:
    """Count a directory as the daemon does."""
    below = KernelMounts().below(str(path))
    return disk_usage.count(str(path), task or Task(), lambda _, __: None, per_second, below)


def du(path: Path) -> int:
    """What GNU du says, in bytes on the disk."""
    done = subprocess.run(["du", "-s", "-x", "--block-size=1", path], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def stuck_find(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a find that never ends before the system's."""
    place.mkdir()
    (place / "find").write_text(f"#!/bin/sh\necho $$ > {place}/new\nmv {place}/new {place}/pid\nexec sleep 600\n")
    (place / "find").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")


def test_it_counts_as_du_does(tmp_path: Path) -> None:
    """Directories, files, links, holes, odd names; a file with several names once."""
    (tmp_path / "below/deeper").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "below/link").symlink_to("/etc")
    os.link(tmp_path / "file", tmp_path / "below/same")
    with (tmp_path / "below/hole").open("wb") as sparse:
        sparse.truncate(1 << 30)
    (tmp_path / "below/deeper" / os.fsdecode(b"\xff\n")).write_bytes(b"y")
    os.mkfifo(tmp_path / "pipe")
    assert count(tmp_path) == (du(tmp_path), 5, "")
    assert count(tmp_path)[0] < 1 << 20


def test_many_files_cost_no_memory(tmp_path: Path) -> None:
    """Counting 40,000 names, half of them second ones, takes less than a megabyte of this process."""
    for number in range(20_000):
        file = tmp_path / str(number)
        file.touch()
        os.link(file, tmp_path / f"{number}-again")
    tracemalloc.start()
    try:
        assert count(tmp_path)[1] == 20_000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_depth_does_not_matter(tmp_path: Path) -> None:
    """A path that is longer than the kernel takes at once is counted to its end."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d" * 20, dir_fd=here)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    assert count(tmp_path) == (du(tmp_path), 1, "")


@pytest.mark.parametrize("source", [["-t", "tmpfs", "none"], ["--bind", "beside"]], ids=["tmpfs", "bind"])
@pytest.mark.parametrize("name", ["mnt", "m [n]*t"])
def test_what_is_mounted_there_is_not_counted(tmp_path: Path, source: list[str], name: str) -> None:
    """It does not count, also if it is a bind of the same disk; a symlink above the volume hides nothing."""
    root = tmp_path / "real/root"
    (root / name).mkdir(parents=True)
    (tmp_path / "beside").mkdir()
    (tmp_path / "link").symlink_to("real")
    before = count(root)
    subprocess.run(["mount", *source, root / name], check=True, cwd=tmp_path)
    try:
        (root / name / "file").write_bytes(b"x" * 100_000)
        assert count(root)[1:] == before[1:] == count(tmp_path / "link/root")[1:]
    finally:
        subprocess.run(["umount", root / name], check=True)


def test_what_is_missing_or_no_directory_is_named(tmp_path: Path) -> None:
    """A symlink that replaces a volume is never followed."""
    assert "No such file" in count(tmp_path / "nobody")[2]
    (tmp_path / "link").symlink_to("/")
    assert count(tmp_path / "link") == (0, 0, f"{tmp_path}/link: Not a directory")


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is counted."""
    (tmp_path / "bin").mkdir()
    script = "#!/bin/sh\necho \"find: '/v/x': Input/output error\" >&2\necho d 2 1 8\necho f 1 2 8\nexit 1\n"
    (tmp_path / "bin/find").write_text(script)
    (tmp_path / "bin/find").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert count(tmp_path) == (8192, 1, "'/v/x': Input/output error")


def test_a_count_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its child is killed at once; a task that is cancelled before begins no count."""
    stuck_find(tmp_path / "bin", monkeypatch)
    task = Task()

    def cancel() -> None:
        await_true((tmp_path / "bin/pid").exists)
        task.cancel("enough")

    threading.Thread(target=cancel).start()
    with pytest.raises(ChildProcessError, match="enough"):
        count(tmp_path, task)
    assert not Path(f"/proc/{(tmp_path / 'bin/pid').read_text().strip()}").exists()
    with pytest.raises(ChildProcessError, match="enough"):
        count(tmp_path, task)


def test_a_child_that_is_killed_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One count fails; the next one has its own child."""
    with monkeypatch.context() as patch:
        stuck_find(tmp_path / "bin", patch)

        def kill() -> None:
            await_true((tmp_path / "bin/pid").exists)
            os.kill(int((tmp_path / "bin/pid").read_text()), signal.SIGKILL)

        threading.Thread(target=kill).start()
        with pytest.raises(ChildProcessError, match="killed"):
            count(tmp_path)
    assert count(tmp_path)[1] == 2


def test_the_background_is_slow(tmp_path: Path) -> None:
    """At 500 entries a second, 300 files take over half a second; an empty directory takes a moment too."""
    for number in range(300):
        (tmp_path / str(number)).touch()
    (tmp_path / "empty").mkdir()
    begun = time.monotonic()
    assert count(tmp_path, per_second=500)[1] == 300
    assert time.monotonic() - begun > 0.6
    begun = time.monotonic()
    count(tmp_path / "empty", per_second=500)
    assert time.monotonic() - begun >= 0.1


def test_it_counts_beside_a_thousand_open_files(tmp_path: Path) -> None:
    """A daemon that keeps the locks of many volumes has more open files than select(2) knows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    null = os.open(os.devnull, os.O_RDONLY)
    others = [null, *(os.dup(null) for _ in range(1024))]
    try:
        assert count(tmp_path)[1] == 0
    finally:
        for file in others:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
