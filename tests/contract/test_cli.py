"""The command line, as people and scripts use it, with a running daemon."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from answering import engine
from nullserver import NullServer
from pyvol.client import Client
from pyvol.core.errors import DaemonUnreachable
from served import Served


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield one daemon for the module; each test uses different volume names."""
    served = Served(tmp_path_factory.mktemp("cli"))
    served.start()
    yield served
    served.stop()


def test_ls_shows_a_table_and_json(daemon: Served) -> None:
    """`ls` prints a table, JSON with `--json`, and only names with `-q`."""
    daemon.ok("VolumeDriver.Create", {"Name": "ls-1", "Opts": {"mode": "0700"}})
    daemon.ok("VolumeDriver.Mount", {"Name": "ls-1", "ID": "i"})
    table = daemon.cli("ls").stdout
    assert re.search(r"^NAME +POOL +CLAIMS +HEALTH +CREATED +SIZE +OPTIONS *$", table, re.MULTILINE)
    assert re.search(r"^ls-1 +default +1 +ok +\d+ s ago +\? +mode=0700 *$", table, re.MULTILINE)
    (volume,) = [row for row in json.loads(daemon.cli("ls", "--json").stdout) if row["name"] == "ls-1"]
    assert volume["options"] == {"mode": "0700"}
    assert volume["claims"] == 1
    assert "ls-1" in daemon.cli("ls", "-q").stdout.splitlines()


def test_inspect_and_set(daemon: Served) -> None:
    """`inspect` shows one volume; `set` prints a change and refuses an invalid one."""
    daemon.ok("VolumeDriver.Create", {"Name": "set-1"})
    assert "moves it to the trash, for 7d" in daemon.cli("inspect", "set-1").stdout
    assert "protect=true" in daemon.cli("set", "set-1", "protect=true").stdout
    (volume,) = json.loads(daemon.cli("inspect", "set-1", "--json").stdout)
    assert volume["options"] == {"protect": "true"}
    assert json.loads(daemon.cli("set", "set-1", "protect=false", "--json").stdout)["options"] == {}
    refused = daemon.cli("set", "set-1", "pool=fast")
    assert refused.returncode == 2
    assert "option pool cannot be changed after creation" in refused.stderr
    assert daemon.cli("set", "set-1", "protect").returncode == 2
    assert daemon.cli("set", "set-1").returncode == 2


def test_labels(daemon: Served) -> None:
    """Labels are set and removed by key, shown in all outputs and to Docker, and usable as a filter."""
    for name in ("label-1", "label-2"):
        daemon.ok("VolumeDriver.Create", {"Name": name})
        shown = daemon.cli("set", name, "--label", "kind=test", "--label", f"name={name}", "--label", "empty")
        assert f"empty= kind=test name={name}" in shown.stdout
    after = json.loads(daemon.cli("set", "label-2", "uid=7", "--label-rm", "kind", "--json").stdout)
    assert (after["labels"], after["options"]) == ({"empty": "", "name": "label-2"}, {"uid": "7"})
    assert daemon.ok("VolumeDriver.Get", {"Name": "label-2"})["Volume"]["Status"]["labels"] == "empty= name=label-2"
    for words, chosen in (
        (["label=kind"], "label-1\n"),
        (["label=name=label-2"], "label-2\n"),
        (["label=empty", "name=*-1"], "label-1\n"),
        (["label=empty", "label!=kind=test"], "label-2\n"),
        (["label=kind=other"], ""),
    ):
        assert daemon.cli("ls", "-q", *(part for word in words for part in ("--filter", word))).stdout == chosen
    assert daemon.cli("ls", "--filter", "label=kind=other").stderr == "No volume matches.\n"
    refused = daemon.cli("set", "label-1", "--label", "two words=x")
    assert (refused.returncode, "'two words' is not a label" in refused.stderr) == (2, True)


def test_existing_volumes_of_several_names_are_shown(daemon: Served) -> None:
    """Of several names, existing volumes are shown and the others reported, with an error exit code."""
    daemon.ok("VolumeDriver.Create", {"Name": "several-1"})
    for words in (["inspect"], ["usage"], ["usage", "--now"]):
        partly = daemon.cli(*words, "--json", "nobody", "several-1", "..")
        assert partly.returncode == 3
        assert [volume["name"] for volume in json.loads(partly.stdout)] == ["several-1"]
        assert "volume 'nobody' does not exist" in partly.stderr
        assert "'..' is not a volume name" in partly.stderr
    assert "several-1" in daemon.cli("inspect", "several-1", "nobody").stdout
    assert daemon.cli("usage", "--now", "nobody", "..").returncode == 3
    assert len(daemon.cli("usage", "nobody").stderr.splitlines()) == 1


def test_trash_and_undelete(daemon: Served) -> None:
    """A removed volume is listed, can be undeleted under another name, and can be deleted permanently."""
    for _ in range(2):
        daemon.ok("VolumeDriver.Create", {"Name": "t-1"})
        daemon.ok("VolumeDriver.Remove", {"Name": "t-1"})
    assert re.search(
        r"^t-1 +[0-9a-f]{16} +default +\d+ s ago +in 7 d +\?$", daemon.cli("trash", "ls").stdout, re.MULTILINE
    )
    assert "t-2 is restored" in daemon.cli("undelete", "t-1", "--as", "t-2").stdout
    assert json.loads(daemon.cli("undelete", "t-1", "--json").stdout)["name"] == "t-1"
    assert daemon.cli("undelete", "t-1").returncode == 3
    daemon.ok("VolumeDriver.Remove", {"Name": "t-1"})
    unknown = daemon.cli("trash", "empty", "t-1", "t-0")
    assert (unknown.returncode, "volume 't-0' is not in the trash" in unknown.stderr, "(--force" in unknown.stderr) == (
        3,
        True,
        False,
    )
    asked = daemon.cli("trash", "empty", "t-1")
    assert asked.returncode == 1
    assert "Permanently delete t-1 (--force does not ask)?" in asked.stderr
    assert "t-1" in daemon.cli("trash", "empty", "t-1", "--force").stdout
    assert [row for row in json.loads(daemon.cli("trash", "ls", "--json").stdout) if row["name"] == "t-1"] == []
    assert json.loads(daemon.cli("trash", "empty", "--force", "--json").stdout) == {"gone": [], "failed": []}
    assert daemon.cli("trash", "empty", "--force").stderr == "Nothing to delete.\n"
    assert daemon.cli("trash", "ls").stderr == "The trash is empty.\n"


def test_rename(daemon: Served) -> None:
    """After a rename, using the old name returns an error that gives the new name."""
    daemon.ok("VolumeDriver.Create", {"Name": "r-1"})
    assert "r-1 is now r-2" in daemon.cli("rename", "r-1", "r-2").stdout
    refused = daemon.cli("inspect", "r-1")
    assert (refused.returncode, "is 'r-2' now" in refused.stderr) == (3, True)
    assert "is 'r-2' now" in daemon.call("VolumeDriver.Create", {"Name": "r-1"}).json["Err"]
    assert json.loads(daemon.cli("rename", "r-2", "r-1", "--json").stdout)["name"] == "r-1"
    assert daemon.cli("rename", "nobody", "r-3").returncode == 3


def test_claims(daemon: Served) -> None:
    """`claims` shows who has mounted a volume, and whether the claim is from an earlier generation."""
    daemon.ok("VolumeDriver.Create", {"Name": "c-1"})
    daemon.ok("VolumeDriver.Mount", {"Name": "c-1", "ID": "f" * 64})
    assert re.search(r"^c-1 +f{12} +1 +\d+ s ago +current +this one *$", daemon.cli("claims").stdout, re.MULTILINE)
    daemon.ok("Plugin.Activate")
    known = json.loads(daemon.cli("claims", "--json").stdout)
    (claim,) = [row for row in known["claims"] if row["volume"] == "c-1"]
    assert claim["stale"] is True
    assert claim["mount_id"] == "f" * 64
    assert known["not_asked"] == []


def test_claims_name_the_pools_whose_server_could_not_be_asked(tmp_path: Path) -> None:
    """`claims` names pools whose server cannot be asked, because another host may use their volumes."""
    known = {"claims": [], "not_asked": [{"pool": "nas", "reason": "nas.lan does not answer"}]}
    with engine(tmp_path / "p.sock", {"/v1/claims": known}):
        served = Served(tmp_path)
        shown = served.cli("claims")
        assert json.loads(served.cli("claims", "--json").stdout) == known
    assert shown.returncode == 0
    assert shown.stderr.splitlines() == [
        "No claims are known.",
        "The claims of other hosts in pool 'nas' are not known: nas.lan does not answer",
    ]


@pytest.mark.parametrize(
    ("words", "code", "summary"),
    [
        (["inspect", "nope"], 3, "volume 'nope' does not exist"),
        (["inspect", "../etc"], 2, "is not a volume name"),
        (["undelete", "nope"], 3, "volume 'nope' is not in the trash"),
        (["lss"], 2, "No such command 'lss'. Did you mean 'ls'?"),
        (["remove", "data"], 2, "No such command 'remove'. That is `docker volume rm`."),
        (["ls", "--socket", "/nonexistent.sock"], 69, "no pyvol answers on /nonexistent.sock: start it"),
        (
            ["config", "--scope", "everywhere"],
            78,
            "setting scope (flag --scope) is invalid: 'everywhere' is not one of",
        ),
    ],
)
def test_errors_are_one_line_and_an_exit_code(daemon: Served, words: list[str], code: int, summary: str) -> None:
    """An error is one line for people and an exit code for scripts."""
    refused = daemon.cli(*words)
    assert refused.returncode == code, refused
    assert summary in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_daemon_that_takes_long_is_not_called_dead(tmp_path: Path) -> None:
    """A daemon that does not answer in time is not reported as dead, because it may still do the work."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        client = Client(tmp_path / "s", read_timeout_s=0.01)
        with client, pytest.raises(DaemonUnreachable, match=r"has not answered for 0\.01 s: it may still do"):
            client.volumes()


def test_letters_that_the_locale_lacks_are_escaped(daemon: Served) -> None:
    """On an output that is not UTF-8, `ls` shows an escape for a letter that the output does not have."""
    daemon.ok("VolumeDriver.Create", {"Name": "latin"})
    daemon.cli(
        "set", "latin", "--label", "city=\N{LATIN SMALL LETTER L WITH STROKE}\N{LATIN SMALL LETTER O WITH ACUTE}d"
    )
    shown = subprocess.run(
        [sys.executable, "-m", "pyvol", "inspect", "latin"],
        env={**daemon.environment, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"city=\\u0142\xf3d" in shown.stdout


def test_output_that_cannot_be_written_gives_no_traceback(daemon: Served) -> None:
    """If the output cannot be written, the command fails with an error and no traceback."""
    with Path("/dev/full").open("w") as full:
        lost = subprocess.run(
            [sys.executable, "-m", "pyvol", "config"],
            env=daemon.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (lost.returncode, lost.stderr) == (74, "pyvol: the output cannot be written: No space left on device\n")


def test_a_long_health_is_cut_only_in_the_list(daemon: Served) -> None:
    """`ls` shortens a long health message, and `inspect` shows all of it."""
    daemon.ok("VolumeDriver.Create", {"Name": "ails"})
    (daemon.root / "volumes/ails/_data").rmdir()
    daemon.call("VolumeDriver.Mount", {"Name": "ails", "ID": "i"})
    (line,) = [line for line in daemon.cli("ls").stdout.splitlines() if line.startswith("ails")]
    health = json.loads(daemon.cli("inspect", "--json", "ails").stdout)[0]["health"]
    assert len(health) > 60
    assert f"{health[:59]}…" in line
    assert health in daemon.cli("inspect", "ails").stdout


def test_config_says_where_each_value_comes_from(daemon: Served) -> None:
    """`config` shows each value and its source."""
    words = ["--log-level", "debug", "--nfs-export", "nas.lan:/volumes"]
    shown = json.loads(daemon.cli("config", "--json", *words).stdout)
    assert shown["root"] == {"value": str(daemon.root), "source": "environment PYVOL_ROOT"}
    assert shown["log_level"] == {"value": "debug", "source": "flag --log-level"}
    assert shown["pools.default"] == {"value": str(daemon.root), "source": "root"}
    assert shown["pools.nfs"] == {"value": f"{daemon.root}/pools/nfs", "source": "flag --nfs-export"}
    assert "environment PYVOL_ROOT" in daemon.cli("config").stdout


def test_doctor_names_problems_with_hints(daemon: Served) -> None:
    """The doctor reports missing, unknown and unreadable records, each with a hint."""
    daemon.ok("VolumeDriver.Create", {"Name": "d-missing"})
    daemon.ok("VolumeDriver.Create", {"Name": "d-broken"})
    (daemon.root / "volumes/d-missing").rename(daemon.root / "volumes/d-stray")
    (daemon.root / "volumes/d-broken/volume.json").write_text("nonsense")
    found = {row["check"]: row for row in json.loads(daemon.cli("doctor", "--json", "--engine", "/nope").stdout)}
    assert found["socket"]["well"]
    assert "d-missing" in found["pool default: directories"]["summary"]
    assert "d-stray" in found["pool default: records"]["summary"]
    assert "d-broken" in found["pool default: manifests"]["summary"]
    assert not found["pool default: directories"]["well"]
    shown = daemon.cli("doctor", "--engine", "/nope")
    assert shown.returncode == 1
    assert "-> bring the directories back" in shown.stdout
    (daemon.root / "volumes/d-stray").rename(daemon.root / "volumes/d-missing")


def test_doctor_and_inspect_say_why_a_share_is_not_mounted(tmp_path: Path) -> None:
    """An error without a hint keeps its cause: the server answers, but the mountpoint cannot be made."""
    nas = NullServer()
    served = Served(tmp_path, NFS_EXPORT="127.0.0.1:/pool", NFS_OPTIONS=f"port={nas.port}")
    (served.root / "pools").mkdir(parents=True)
    (served.root / "pools/nfs").write_text("in the way")
    served.start()
    try:
        assert "Not a directory" in served.call("VolumeDriver.Create", {"Name": "v"}).json["Err"]
        found = {row["check"]: row for row in json.loads(served.cli("doctor", "--json", "--engine", "/nope").stdout)}
        mount = found["pool nfs: mount"]
        assert (mount["well"], "Not a directory" in mount["summary"]) == (False, True), mount
        assert mount["hint"]
        assert all(row["summary"] for row in found.values()), found
    finally:
        served.stop()
        nas.stop()


def test_doctor_without_a_daemon(tmp_path: Path) -> None:
    """Without a daemon the doctor reports that no pyvol answers, and says what to start."""
    served = Served(tmp_path)
    shown = served.cli("doctor", "--engine", "/nope")
    assert shown.returncode == 1
    assert "no pyvol answers" in shown.stdout
    assert "systemctl start pyvol.socket" in shown.stdout


@pytest.mark.parametrize(
    "content", [b"[]", b'{"name":"\xff"}', b'{"x":' + b"[" * 10_000], ids=["other", "no text", "deep"]
)
def test_another_server_on_the_socket_is_reported(tmp_path: Path, content: bytes) -> None:
    """If another program answers on the socket, the client reports that in one error."""
    path = tmp_path / "other.sock"
    with (
        engine(path, {"/v1/volumes/v": content}),
        Client(path) as asked,
        pytest.raises(DaemonUnreachable, match="not a pyvol of this version"),
    ):
        asked.volume("v")


@pytest.mark.parametrize("enabled", [False, True])
def test_doctor_finds_a_managed_plugin_that_does_not_answer(tmp_path: Path, *, enabled: bool) -> None:
    """The doctor gives Docker's commands for a managed plugin that does not answer, and ignores others."""
    plugins = [
        {"Name": f"{name}:latest", "Enabled": enabled, "Config": {"Interface": {"Socket": f"{name}.sock"}}}
        for name in ("p", "other")
    ]
    with engine(tmp_path / "e", {"/plugins": plugins}) as socket:
        said = Served(tmp_path).cli("doctor", "--json", "--engine", socket)
    found = {row["check"]: row for row in json.loads(said.stdout)}
    assert list(found) == ["socket", "daemon", "plugin p:latest"]
    hint = found["plugin p:latest"]["hint"]
    assert ("docker plugin enable p:latest" in hint, "disable -f p:latest" in hint) == (True, enabled)
    assert "dockerd's log" in hint


def ask_doctor(daemon: Served, path: Path, info: object, volumes: object) -> dict[str, Any]:
    """Run the doctor with a prepared engine; return the findings by check."""
    with engine(path, {"/info": info, "/volumes": volumes}):
        found = json.loads(daemon.cli("doctor", "--json", "--engine", str(path)).stdout)
    return {row["check"]: row for row in found}


@pytest.mark.parametrize(
    ("drivers", "swarm", "well"),
    [(["local", "p"], "active", True), (["local"], "active", False), (["local"], "inactive", True)],
)
def test_doctor_asks_the_engine(daemon: Served, tmp_path: Path, drivers: list[str], swarm: str, *, well: bool) -> None:
    """In a swarm that has not used the plugin, the doctor says how to make it known (fact 22)."""
    info = {"Plugins": {"Volume": drivers}, "Swarm": {"LocalNodeState": swarm}}
    finding = ask_doctor(daemon, tmp_path / "engine.sock", info, {"Volumes": None})["engine"]
    assert finding["well"] is well
    assert ("docker volume ls" in finding["hint"]) is not well


def test_doctor_names_volumes_that_another_driver_hides(daemon: Served, tmp_path: Path) -> None:
    """The doctor names volumes that another driver created while pyvol was absent (fact 42)."""
    daemon.ok("VolumeDriver.Create", {"Name": "h-1"})
    listed = [{"Name": "h-1", "Driver": "local"}, {"Name": "not-ours", "Driver": "local"}]
    info = {"Plugins": {"Volume": ["local", "p"]}}
    found = ask_doctor(daemon, tmp_path / "engine.sock", info, {"Volumes": listed})["engine: volumes"]
    assert not found["well"]
    assert found["summary"].endswith("h-1 (local)")
    assert "docker volume rm" in found["hint"]
    listed[0]["Driver"] = "p"
    assert ask_doctor(daemon, tmp_path / "again.sock", info, {"Volumes": listed})["engine: volumes"]["well"]
    gone = Served(tmp_path)
    assert "engine: volumes" not in ask_doctor(gone, tmp_path / "gone.sock", info, {"Volumes": listed})


def test_the_pyvol_command_is_installed(daemon: Served) -> None:
    """`pyvol` and `python -m pyvol` are the same program."""
    command = Path(sys.executable).parent / "pyvol"
    asked = subprocess.run([command, "--version"], capture_output=True, text=True, env=os.environ, check=True)
    assert asked.stdout == daemon.cli("--version").stdout
