"""`pyvol diff`: a Compose file, as Compose resolves it, compared with the existing volumes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from answering import engine
from deadline import await_true
from pyvol.client import compose
from pyvol.client.compose import read_config
from pyvol.core.errors import BadRequest, EngineUnreachable
from served import Served

COMPOSE = """#!/bin/sh
[ "$*" != "compose version" ] || exit 0
echo "$*" > {place}/asked
cat {place}/answer
echo 'WARN variable "X" is not set' >&2
[ ! -e {place}/refuses ]
"""
"""A stand-in for Compose that records its arguments and prints a prepared answer."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield one daemon for the module, which its engine calls `p`; each test uses different volume names."""
    served = Served(tmp_path_factory.mktemp("diff"))
    served.start()
    yield served
    served.stop()


def config(**volumes: object) -> str:
    """Return Compose's output for a file with these volumes."""
    return json.dumps({"name": "shop", "services": {}, "volumes": volumes})


def rows(daemon: Served, **volumes: object) -> list[tuple[str, str, str | None, str | None]]:
    """Return the rows of `diff --json` without their hints, and check the exit code."""
    done = daemon.cli("diff", "-", "--json", stdin=config(**volumes))
    found = json.loads(done.stdout)
    assert done.returncode == (1 if found else 0), done
    return [(row["volume"], row["option"], row["file"], row["pyvol"]) for row in found]


def test_options_are_compared_as_pyvol_understands_them(daemon: Served) -> None:
    """Different spellings of one value are equal; a difference is shown with both values."""
    options = {"mode": "750", "gid": "7", "on_remove": "keep"}
    daemon.ok("VolumeDriver.Create", {"Name": "o-1", "Opts": options})
    same = {"mode": "0750", "o": "gid=7,on_remove=keep"}
    assert rows(daemon, data={"name": "o-1", "driver": "p", "driver_opts": same}) == []
    other = {"mode": "0700", "uid": "1000", "subdir": "a/{name}"}
    assert rows(daemon, data={"name": "o-1", "driver": "p", "driver_opts": other}) == [
        ("o-1", "uid", "1000", None),
        ("o-1", "gid", None, "7"),
        ("o-1", "mode", "0700", "0750"),
        ("o-1", "on_remove", "trash", "keep"),
        ("o-1", "subdir", "a/o-1", None),
    ]


def test_the_printed_commands_remove_the_differences(daemon: Served) -> None:
    """The commands that diff prints, one after the other, remove all differences that can be removed."""
    daemon.ok("VolumeDriver.Create", {"Name": "o-2", "Opts": {"gid": "7", "protect": "true"}})
    asked = {"name": "o-2", "driver": "p", "driver_opts": {"uid": "1000", "subdir": "a"}}
    for row in json.loads(daemon.cli("diff", "-", "--json", stdin=config(data=asked)).stdout):
        if row["option"] != "subdir":
            program, *words = row["do"].split()
            assert (program, daemon.cli(*words).returncode) == ("pyvol", 0)
    shown = daemon.cli("diff", "-", stdin=config(data=asked))
    assert [line.split()[:2] for line in shown.stdout.splitlines()] == [["VOLUME", "OPTION"], ["o-2", "subdir"]]
    assert "cannot be changed" in shown.stdout


def test_a_mistake_in_the_file_is_named(daemon: Served) -> None:
    """Diff reports a mistyped option, which the engine never sends for a volume that exists."""
    daemon.ok("VolumeDriver.Create", {"Name": "o-3"})
    asked = {"name": "o-3", "driver": "p", "driver_opts": {"uidd": "1"}}
    assert rows(daemon, data=asked) == [("o-3", "driver_opts", None, None)]
    assert "did you mean 'uid'" in daemon.cli("diff", "-", stdin=config(data=asked)).stdout
    assert rows(daemon, data={"name": "bad name", "driver": "p"}) == [("bad name", "name", "bad name", None)]


@pytest.mark.parametrize("content", [b'{"volumes":' * 50_000, b'{"volumes":{"\xff":{}}}', b"[]"])
def test_invalid_compose_output_is_refused(content: bytes) -> None:
    """Input that cannot come from Compose, deep or binary, is refused with an error."""
    with pytest.raises(BadRequest, match="the input is not what `docker compose config"):
        read_config(content)


def test_names_and_drivers_are_compared(daemon: Served) -> None:
    """Diff reports missing and renamed volumes and wrong drivers, and ignores volumes of other drivers."""
    for name in ("n-1", "n-2"):
        daemon.ok("VolumeDriver.Create", {"Name": name})
    assert daemon.cli("rename", "n-1", "n-3").returncode == 0
    assert rows(
        daemon,
        renamed={"name": "n-1", "external": True},
        driverless={"name": "n-2"},
        missing={"name": "n-4", "driver": "p"},
    ) == [
        ("n-1", "name", "n-1", "n-3"),
        ("n-2", "driver", "local", "p"),
        ("n-4", "name", "n-4", None),
    ]
    foreign = {"name": "x y", "driver": "local"}
    assert rows(daemon, theirs={"name": "n-4"}, here={"name": "n-2", "external": True}, foreign=foreign) == []


def test_compose_reads_the_files(daemon: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Diff passes files and project name to Compose, shows its warnings, and reports its refusal."""
    program = tmp_path / "docker"
    program.write_text(COMPOSE.format(place=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "answer").write_text(config(data={"name": "n-5", "driver": "p"}))
    done = daemon.cli("diff", "a.yaml", "b.yaml", "--project-name", "shop")
    assert (done.returncode, done.stderr) == (1, 'WARN variable "X" is not set\n')
    assert "`docker compose up` creates it" in done.stdout
    asked = (tmp_path / "asked").read_text()
    assert asked == "compose --file a.yaml --file b.yaml --project-name shop --profile * config --format json\n"
    (tmp_path / "refuses").touch()
    refused = daemon.cli("diff")
    assert refused.returncode == 2
    assert 'Compose does not accept this directory: WARN variable "X"' in refused.stderr


def test_without_compose_the_error_says_what_to_do(
    daemon: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Compose diff fails with an error that shows how to pass a resolved file on stdin."""
    monkeypatch.setenv("PATH", str(tmp_path))
    done = daemon.cli("diff", "compose.yaml")
    assert (done.returncode, "pyvol diff - < resolved.json" in done.stderr) == (69, True)
    for words, stdin in ((["-", "compose.yaml"], ""), (["-", "-p", "x"], ""), (["-"], "services: {}")):
        assert daemon.cli("diff", *words, stdin=stdin).returncode == 2


def test_a_compose_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Diff kills a Compose that does not end, with its children, and names the command to run by hand."""
    program, pid_file = tmp_path / "docker", tmp_path / "pid"
    program.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {pid_file}.new && mv {pid_file}.new {pid_file}\nwait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for patience_s in (0.5, 2.0, 8.0, 32.0):  # on a busy machine the command may not have started yet
        with pytest.raises(EngineUnreachable, match=rf"^`docker compose version` has not ended after {patience_s:g} s"):
            compose.resolve([], None, patience_s)
        if pid_file.exists():
            break
    sleeper = Path(f"/proc/{pid_file.read_text().strip()}")
    await_true(lambda: not sleeper.exists() or "(zombie)" in (sleeper / "status").read_text(), "it is killed")


def test_a_managed_plugin_has_its_engines_name(scratch: Path) -> None:
    """Diff adds the tag `latest` to a managed plugin's name in the file, as Docker does."""
    plugin = "a" * 64
    (scratch / plugin).mkdir()
    served = Served(scratch / plugin)
    served.start()
    with engine(scratch / "e", {f"/plugins/{plugin}/json": {"Name": "pyvol:latest"}}) as socket:
        words = ["diff", "--json", "--engine", socket, "-"]
        done = served.cli(*words, stdin=config(a={"name": "m-1", "driver": "pyvol"}, b={"name": "m-2", "driver": "p"}))
    served.stop()
    assert [row["volume"] for row in json.loads(done.stdout)] == ["m-1"]
