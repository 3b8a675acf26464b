"""Which packages each command imports: a table should not wait for a web framework to load."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions

import pytest

from answering import engine
from commands import command_lines
from pyvol.cli.group import group
from served import PATIENCE_S, Served

COMMAND = {"pyvol", "click", "msgspec", "typing_extensions"}
CLIENT = COMMAND | {"requests", "requests_unixsocket", "urllib3", "idna", "certifi", "charset_normalizer"}
RUNS = {
    "config": [],
    "completion": ["bash"],
    "ls": [],
    "inspect": ["v"],
    "set": ["v", "uid=7"],
    "rename": ["r", "w"],
    "adopt": [],
    "diff": ["-"],
    "claims": [],
    "trash ls": [],
    "trash empty": ["x", "--force"],
    "undelete": ["u"],
    "prune": ["--engine", "ENGINE"],
    "usage": [],
    "jobs wait": ["JOB"],
    "jobs cancel": ["JOB"],
    "events": ["--past", "--no-follow"],
    "doctor": ["--engine", "/nope"],
}
"""Words with which each command works; ENGINE stands for an engine's socket, JOB for a job's id."""
WITH_PROGRESS = CLIENT | {"rich"}
EXPECTED = {
    **dict.fromkeys(RUNS, CLIENT),
    **dict.fromkeys(["adopt", "trash empty", "jobs wait"], WITH_PROGRESS),
    **dict.fromkeys(["config", "completion"], COMMAND),
}
OF_THE_DAEMON = {"sqlite3", "socketserver", "pyvol.daemon", "pyvol.catalog", "pyvol.storage", "pyvol.api.codec"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A daemon with two volumes, and two in its trash; and an engine that knows one of them."""
    served = Served(tmp_path_factory.mktemp("imports"))
    served.start()
    for name in ("v", "r", "u", "x"):
        served.ok("VolumeDriver.Create", {"Name": name})
    for name in ("u", "x"):
        served.ok("VolumeDriver.Remove", {"Name": name})
    said = {"/info": {}, "/volumes": {"Volumes": [{"Name": "v", "Driver": "p"}]}, "/containers/json?all=1": []}
    with engine(served.root / "ENGINE", said):
        yield served
    served.stop()


@pytest.fixture(scope="module")
def job(daemon: Served) -> str:
    """The id of a job of that daemon."""
    with daemon.client() as client:
        return client.wait(client.count(["v"])).id


def imported(served: Served, *words: str) -> set[str]:
    """Run a command; return the modules that it imports and an empty program does not."""

    def run(*program: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", *program],
            cwd=served.root,
            env=served.environment,
            input='{"volumes": {}}',
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return set(re.findall(r"^import time: .*\| +(\S+)$", done.stderr, re.MULTILINE))

    return run("-m", "pyvol", *words) - run("-c", "")


def packages(modules: set[str]) -> set[str]:
    """Return the packages of modules, without the standard library."""
    return {module.partition(".")[0] for module in modules} & packages_distributions().keys()


def test_each_command_has_a_run() -> None:
    """All but the daemon itself."""
    assert {f"pyvol {line}" for line in RUNS} == {line for line, _ in command_lines(group)} - {"pyvol serve"}


@pytest.mark.parametrize("line", RUNS)
def test_a_command_imports_only_what_it_needs(daemon: Served, job: str, line: str) -> None:
    """Its help, and a run against a daemon, import no package but these, and no part of the daemon."""
    for words in (["--help"], [job if word == "JOB" else word for word in RUNS[line]]):
        modules = imported(daemon, *line.split(), *words)
        assert "click" in packages(modules)
        assert packages(modules) <= EXPECTED[line]
        assert not modules & OF_THE_DAEMON
