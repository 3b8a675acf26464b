"""Locks of a process, and its limit of open files."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyvol.host.processes import limits


@pytest.mark.parametrize(
    ("lock", "name"), [(limits.lock_file, "file"), (limits.lock_directory, "directory")], ids=["file", "directory"]
)
def test_one_process_at_a_time_has_a_lock(tmp_path: Path, lock: Callable[[Path, float], int | None], name: str) -> None:
    """The second one waits for the patience that it is given, and leaves no file open."""
    place = tmp_path / name
    if name == "directory":
        place.mkdir()
    first = lock(place, 0.0)
    assert first is not None
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert lock(place, 0.05) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    os.close(first)
    second = lock(place, 0.0)
    assert second is not None
    os.close(second)


def test_a_process_dies_with_its_parent() -> None:
    """The kernel kills it, also if its parent was killed."""
    child = (
        "import sys; from pyvol.host.processes import limits; limits.die_with_parent(); print('ready', flush=True); "
    )
    child += "sys.stdin.read()"
    parent = (
        "import os, subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}], stdin=sys.stdin)\n"
        "import time; time.sleep(300)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
        assert process.stdout.read() == ""  # the child had it open too


@pytest.mark.parametrize(("before", "after"), [((100, 2000), (2000, 2000)), ((2000, 2000), (2000, 2000))])
def test_the_limit_of_open_files_is_raised_as_far_as_it_may(before: tuple[int, int], after: tuple[int, int]) -> None:
    """It is never lowered."""
    code = (
        "import resource, sys\nfrom pyvol.host.processes import limits\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, {before})\nlimits.allow_files()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{after}\n"


def test_the_limit_of_this_process_is_raised() -> None:
    """Its children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        limits.allow_files()
        raised = (min(limits.FILES, hard), hard)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == raised
        limits.allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
