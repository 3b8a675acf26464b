"""`pyvol prune` with a prepared engine: its requests, the volumes that it keeps, and its refusals."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from answering import engine
from pyvol.client.pyvol_api import RequestRefused
from served import Served


def answers(
    daemon: Served,
    *mounts: Mapping[str, str],
    labels: Mapping[str, Mapping[str, str]] | None = None,
    swarm: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return an engine's answers with all of the daemon's volumes, and one container with these mounts."""
    with daemon.client() as client:
        names = [volume.name for volume in client.volumes()]
    listed = [{"Name": name, "Driver": "p", "Labels": (labels or {}).get(name)} for name in names]
    return {
        "/info": {"Plugins": {"Volume": ["local", "p"]}, "Swarm": swarm or {"LocalNodeState": "inactive"}},
        "/volumes": {"Volumes": listed},
        "/containers/json?all=1": [{"Mounts": list(mounts)}],
    }


def pruned(daemon: Served, path: Path, said: Mapping[str, object], *words: str) -> dict[str, Any]:
    """Run the command; return its JSON output."""
    with engine(path, said) as socket:
        done = daemon.cli("prune", "--engine", socket, "--json", *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def names(found: dict[str, Any]) -> list[str]:
    """Return the names of the chosen volumes."""
    return [volume["name"] for volume in found["volumes"]]


def test_prune_lists_and_with_force_moves_to_the_trash(served: Served, tmp_path: Path) -> None:
    """Prune keeps protected volumes and volumes of containers; the others can be undeleted."""
    for name, options in (
        ("used", {}),
        ("bound", {}),
        ("kept", {"protect": "true"}),
        ("free", {}),
        ("gone", {"on_remove": "delete"}),
    ):
        served.ok("VolumeDriver.Create", {"Name": name, "Opts": options})
    path = f"{served.root}/volumes/bound/_data/below"
    said = answers(served, {"Type": "volume", "Name": "used", "Source": "/x"}, {"Type": "bind", "Source": path})
    shown = pruned(served, tmp_path / "e", said)
    assert (names(shown), shown["moved"]) == (["free", "gone"], [])
    assert len(json.loads(served.cli("ls", "--json").stdout)) == 5
    moved = pruned(served, tmp_path / "f", said, "--force")
    assert moved["moved"] == ["free", "gone"]
    for name in moved["moved"]:
        assert served.cli("undelete", name).returncode == 0


def test_claims_keep_a_volume_of_another_engine(served: Served, tmp_path: Path) -> None:
    """Prune keeps a volume that another engine has mounted."""
    served.ok("VolumeDriver.Create", {"Name": "elsewhere"})
    served.ok("VolumeDriver.Mount", {"Name": "elsewhere", "ID": "i"})
    assert names(pruned(served, tmp_path / "e", answers(served))) == []
    with served.client() as client, pytest.raises(RequestRefused, match="cannot be removed: an engine has it mounted"):
        client.move_to_trash("elsewhere")  # as of one that was mounted since the claims were asked for
    served.ok("Plugin.Activate")
    assert names(pruned(served, tmp_path / "f", answers(served))) == ["elsewhere"]


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["--filter", "name=shop-*"], ["shop-a", "shop-b"]),
        (["--filter", "label=project=shop"], ["shop-a"]),
        (["--filter", "label=project"], ["other", "shop-a"]),
        (["--filter", "label=tier"], ["shop-a", "shop-b"]),
        (["--filter", "label=tier=own"], ["shop-b"]),
        (["--filter", "label!=tier=own"], ["other", "shop-a"]),
        (["--filter", "label!=project"], ["shop-b"]),
        (["--filter", "label=project", "--filter", "name=o*"], ["other"]),
        (["--filter", "pool=fast"], []),
        (["--older-than", "30d"], []),
    ],
)
def test_filters(served: Served, tmp_path: Path, words: list[str], chosen: list[str]) -> None:
    """Filters by name, pool, engine labels, pyvol labels and age must all match."""
    for name in ("shop-a", "shop-b", "other"):
        served.ok("VolumeDriver.Create", {"Name": name})
    with served.client() as client:
        client.set("shop-b", {}, {"tier": "own"})
    said = answers(served, labels={"shop-a": {"project": "shop", "tier": "x"}, "other": {"project": "x"}})
    assert names(pruned(served, tmp_path / "e", said, *words)) == chosen


def test_the_services_of_a_swarm_are_asked(served: Served, tmp_path: Path) -> None:
    """Prune keeps volumes of a service without containers."""
    for name in ("service", "free"):
        served.ok("VolumeDriver.Create", {"Name": name})
    said = answers(served, swarm={"LocalNodeState": "active", "ControlAvailable": True})
    mounts = [{"Type": "volume", "Source": "service", "Target": "/data"}]
    said["/services"] = [{"Spec": {"TaskTemplate": {"ContainerSpec": {"Mounts": mounts}}}}]
    assert names(pruned(served, tmp_path / "e", said)) == ["free"]


def refused(served: Served, path: Path, said: Mapping[str, object]) -> str:
    """Run the command with --force, which must fail; return its error."""
    with engine(path, said) as socket:
        done = served.cli("prune", "--force", "--engine", socket)
    assert done.returncode == 69, done
    assert json.loads(served.cli("ls", "--json").stdout)
    return done.stderr


@pytest.mark.one_python
def test_prune_refuses_without_a_reliable_answer(served: Served, tmp_path: Path) -> None:
    """Without a reliable answer of the right engine, prune changes nothing and says why."""
    served.ok("VolumeDriver.Create", {"Name": "v"})
    absent = served.cli("prune", "--force", "--engine", "/nope")
    summary = "the engine at /nope does not answer as Docker does (No such file or directory): check that Docker runs"
    assert (absent.returncode, summary in absent.stderr) == (69, True)
    said = answers(served)
    failing = {key: value for key, value in said.items() if not key.startswith("/containers")}
    assert "does not answer as Docker does" in refused(served, tmp_path / "e", failing)
    assert "lists no volume of this pyvol" in refused(served, tmp_path / "f", {**said, "/volumes": {"Volumes": None}})
    deep, no_text = {**said, "/info": b'{"Swarm":' * 60_000}, {**said, "/volumes": b'{"Volumes":[{"Name":"\xff'}
    assert "does not answer as Docker does" in refused(served, tmp_path / "h", deep)
    assert "does not answer as Docker does" in refused(served, tmp_path / "i", no_text)
    worker = answers(served, swarm={"LocalNodeState": "active", "ControlAvailable": False})
    assert "is a worker of a swarm" in refused(served, tmp_path / "g", worker)


def test_bad_filters_are_refused(served: Served) -> None:
    """Invalid filters and durations end with exit code 2, without a request."""
    for words, summary in (
        (["--filter", "size=3"], "invalid filter 'size=3'"),
        (["--older-than", "soon"], "is not a duration"),
    ):
        done = served.cli("prune", *words, "--engine", "/nope")
        assert done.returncode == 2
        assert summary in done.stderr


def test_the_table_shows_what_would_be_removed(served: Served, tmp_path: Path) -> None:
    """Without --force prune prints a table and the next step."""
    served.ok("VolumeDriver.Create", {"Name": "free"})
    with engine(tmp_path / "e", answers(served)) as socket:
        shown = served.cli("prune", "--engine", socket)
        assert "free" in shown.stdout
        assert "1 would be moved to the trash" in shown.stderr
        assert "1 moved to the trash" in served.cli("prune", "--force", "--engine", socket).stderr
    with engine(tmp_path / "f", answers(served)) as socket:
        assert served.cli("prune", "--engine", socket).stderr.strip() == "Nothing to prune."
