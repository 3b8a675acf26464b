"""Runs the tests of this directory in guests, and reports each test as if it had run here.

The tests of a module share a guest, and so do the modules of a subdirectory. One pytest per guest runs all of
them, because it starts slowly there. If a guest dies, the running test fails, and the next test gets a new
guest.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from engine.built import build_disk
from engine.images import build_root
from engine.releases import find_release
from guest.uml import Guest, GuestDied, make_disk

from .engine import VERSION

HERE = Path(__file__).resolve().parent
DISK_MIB = 256
ENGINE_DISK_MIB = 1536
NODES = 2
MEMORY_MIB = 1024
SILENCE_S = 300.0
"""Longer than any test may take: the guest itself ends such a test, and can name it."""
GUESTS = 2
"""How many guests run at a time: a guest has one processor, and its tests mostly wait."""
ARGUMENTS = (
    *("-o", "addopts=--strict-markers"),
    *("-p", "no:cacheprovider", "-p", "no:terminal", "-p", "nfs.inside"),
    "--basetemp=/srv/t",
)
INSIDE = "PYVOL_TESTS_IN_GUEST"


def is_guest() -> bool:
    """Return whether this is the pytest in a guest."""
    return INSIDE in os.environ


class Batch:
    """Tests that run in one guest, in order."""

    def __init__(self, config: pytest.Config, items: Sequence[pytest.Item], engine_disk: Future[Path] | None) -> None:
        self._stack = ExitStack()
        if any(item.get_closest_marker("engine") for item in items):
            find_release(VERSION)  # a guest could not fetch the release
        scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="nfs-")))
        disks = [make_disk(scratch / "disk", DISK_MIB)]
        if engine_disk is not None:
            copies = [scratch / f"engine-{number}" for number in range(NODES)]
            for copy in copies:
                subprocess.run(["cp", "--sparse=always", engine_disk.result(), copy], check=True)
            disks += copies
        self._left = [item.nodeid for item in items]
        guest = self._stack.enter_context(Guest(disks=disks, memory_mib=MEMORY_MIB))
        self._lines = self._run(guest, config.rootpath)
        self._reports: dict[str, list[dict[str, object]]] = {item.nodeid: [] for item in items}

    def _run(self, guest: Guest, root: Path) -> Iterator[str]:
        # Plugins that are not loaded cost no time; this machine has many plugins of pytest.
        environment = {
            INSIDE: "yes",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(HERE.parent),
            "HOME": str(Path.home()),
        }
        command: list[str | Path] = [sys.executable, "-m", "pytest", "-c", root / "pyproject.toml", *ARGUMENTS]
        here: list[str | Path] = ["sh", "-c", 'cd "$0" && "$@" || [ $? = 1 ]', root]
        return guest.lines(*here, *command, *self._left, env=environment, timeout_s=SILENCE_S)

    def reports(self, item: pytest.Item) -> list[dict[str, object]]:
        """Wait until a test has ended, and return its reports; raise `GuestDied` or AssertionError."""
        while item.nodeid in self._left:
            line = json.loads(next(self._lines, '{"broken": "pytest in the guest ended without this test"}'))
            if "broken" in line:
                raise AssertionError(line["broken"])
            if "finished" in line:
                self._left.remove(line["finished"])
            else:
                self._reports[line["report"]["nodeid"]].append(line["report"])
        return self._reports.pop(item.nodeid)

    def close(self) -> None:
        """End the guest."""
        self._stack.close()


class Outside:
    """The plugin for the pytest on the machine."""

    def __init__(self) -> None:
        self._batches: dict[Path, Batch] = {}
        self._stack = ExitStack()
        self._engine_disk: Future[Path] | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Start to build the disk with the managed plugin, which takes a minute, if a test needs it."""
        if any(item.get_closest_marker("engine_disks") for item in session.items):
            scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="nfs-")))
            pool = self._stack.enter_context(ThreadPoolExecutor(1))
            self._engine_disk = pool.submit(
                build_disk, find_release(VERSION), build_root(), scratch / "engine", ENGINE_DISK_MIB
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a test in its guest, if it is one of this directory's tests."""
        if not item.path.is_relative_to(HERE):
            return None
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._find_reports(item):
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if nextitem is None or _guest_of(nextitem) != _guest_of(item):
            self._close(_guest_of(item))
        return True

    def pytest_unconfigure(self) -> None:
        """End all guests, also after an interrupted run."""
        for path in list(self._batches):
            self._close(path)
        self._stack.close()

    def _find_reports(self, item: pytest.Item) -> list[pytest.TestReport]:
        try:
            found = self._find_batch(item).reports(item)
        except (GuestDied, AssertionError) as error:
            self._close(_guest_of(item))
            return [pytest.TestReport(item.nodeid, item.location, dict(item.keywords), "failed", str(error), "call")]
        restore = item.config.hook.pytest_report_from_serializable
        return [restore(config=item.config, data=report) for report in found]

    def _find_batch(self, item: pytest.Item) -> Batch:
        """Return the guest of this test's module; also start the next module's guest, to run ahead."""
        items = item.session.items
        ahead = items[items.index(item) :]
        paths = list(dict.fromkeys(_guest_of(other) for other in ahead if other.path.is_relative_to(HERE)))
        for path in paths[:GUESTS]:
            if path not in self._batches:
                batch = [other for other in ahead if _guest_of(other) == path]
                wanted = any(other.get_closest_marker("engine_disks") for other in batch)
                self._batches[path] = Batch(item.config, batch, self._engine_disk if wanted else None)
        return self._batches[_guest_of(item)]

    def _close(self, path: Path) -> None:
        if path in self._batches:
            self._batches.pop(path).close()


def _guest_of(item: pytest.Item) -> Path:
    """Return the path that identifies a test's guest: its module, or its module's subdirectory."""
    return item.path if item.path.parent == HERE else item.path.parent
