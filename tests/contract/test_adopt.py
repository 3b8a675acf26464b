"""`pyvol adopt` with a prepared engine: its volumes after the adoption, and what is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from answering import engine
from pyvol.cli.commands.volumes.adopt import adopt_
from served import Served

NFS = {"type": "nfs", "device": ":/volumes", "o": "addr=nas.lan,rw"}


def local(root: Path, name: str, options: Mapping[str, str] | None = None, **labels: str) -> dict[str, Any]:
    """Create a volume of the engine's local driver, with a file in it."""
    data = root / "docker/volumes" / name / "_data"
    data.mkdir(parents=True)
    (data / "file").write_text("kept")
    return {"Name": name, "Driver": "local", "Mountpoint": str(data), "Options": options, "Labels": labels or None}


def summary(*volumes: Mapping[str, Any], containers: tuple[Mapping[str, Any], ...] = ()) -> dict[str, object]:
    """Return the answers of an engine that has these volumes, and removes each on request."""
    removals = {f"DELETE /volumes/{volume['Name']}": None for volume in volumes}
    return {"/volumes": {"Volumes": list(volumes)}, "/containers/json?all=1": list(containers), **removals}


def container(state: str, volume: str) -> dict[str, Any]:
    """Return a container that refers to a volume."""
    return {"Names": [f"/{state}-one"], "State": state, "Mounts": [{"Type": "volume", "Name": volume, "Source": ""}]}


def adopt(daemon: Served, path: Path, said: Mapping[str, object], *words: str, code: int = 0) -> list[dict[str, Any]]:
    """Run the command; return its JSON output."""
    with engine(path, said) as socket:
        done = daemon.cli("adopt", "--engine", socket, "--json", *words)
    assert done.returncode == code, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def options(daemon: Served) -> dict[str, dict[str, str]]:
    """Return pyvol's volumes with their options."""
    return {volume["name"]: volume["options"] for volume in json.loads(daemon.cli("ls", "--json").stdout)}


def test_all_of_the_local_driver(served: Served, tmp_path: Path) -> None:
    """Adopt moves files and keeps options, skips anonymous volumes, and does nothing without --force."""
    said = summary(
        local(tmp_path, "shop_data"),
        local(tmp_path, "nas", NFS),
        local(tmp_path, "scratch", {"type": "tmpfs", "device": "tmpfs", "o": "size=64m"}),
        local(tmp_path, "ab" * 32),
        {"Name": "other", "Driver": "p"},
    )
    words = ("--from-local", "--all", "-o", "protect=true")
    planned = adopt(served, tmp_path / "e", said, *words)
    assert [(row["name"], row["how"], row["done"]) for row in planned] == [
        ("nas", "mounted as before", False),
        ("scratch", "mounted as before", False),
        ("shop_data", "rename", False),
    ]
    assert options(served) == {}
    done = adopt(served, tmp_path / "f", said, *words, "--force")
    assert [row["done"] for row in done] == [True] * 3
    assert options(served)["nas"] == {**NFS, "protect": "true"}
    assert options(served)["shop_data"] == {"protect": "true"}
    assert (served.root / "volumes/shop_data/_data/file").read_text() == "kept"
    assert (tmp_path / "docker/volumes" / ("ab" * 32) / "_data/file").exists()


def test_running_containers_keep_what_they_run_on(served: Served, tmp_path: Path) -> None:
    """Adopt refuses volumes of running containers, and says which stopped containers to recreate."""
    below, above = (str(tmp_path / path) for path in ("docker/volumes/bound/_data/below", "docker"))
    bind = {"Names": ["/bind"], "State": "paused", "Mounts": [{"Source": below}]}
    watcher = {"Names": ["/watcher"], "State": "running", "Mounts": [{"Source": above}]}
    said = summary(
        local(tmp_path, "busy"),
        local(tmp_path, "bound"),
        local(tmp_path, "idle"),
        containers=(container("running", "busy"), container("exited", "idle"), bind, watcher),
    )
    del said["DELETE /volumes/idle"]
    rows = adopt(served, tmp_path / "e", said, "--from-local", "--all", "--force", code=4)
    assert [(row["name"], row["done"]) for row in rows] == [("bound", False), ("busy", False), ("idle", True)]
    assert rows[0]["refused"] == "volume 'bound' cannot be adopted: bind uses it; stop the containers first"
    assert rows[2]["next"] == "docker rm exited-one; docker volume rm idle; then start the services that used it again"
    assert (tmp_path / "docker/volumes/busy/_data/file").read_text() == "kept"


def test_labels_stay_with_the_engine(served: Served, tmp_path: Path) -> None:
    """Adopt removes the engine's volume and creates pyvol's volume with the same labels.

    It leaves out the label with Compose's hash of the file: the hash changes with the driver, and with the
    old value Compose would offer to recreate the volume.
    """
    labels = {"project": "shop", "com.docker.compose.config-hash": "0123"}
    said = summary({**local(tmp_path, "data"), "Driver": "local-persist", "Labels": labels})
    file = tmp_path / "local-persist.json"
    file.write_text(json.dumps({"state": {"data": str(tmp_path / "docker/volumes/data/_data")}}))
    words = ("--from-local-persist", str(file), "--force")
    (row,) = adopt(served, tmp_path / "e", said, *words, code=1)
    assert row["done"]
    assert "`docker volume create -d pyvol --label project=shop data`" in row["refused"]
    assert '{"Name":"data","Driver":"local-persist","Labels":{"project":"shop"}}' in row["refused"]


def test_unsupported_volumes_are_refused(served: Served, tmp_path: Path) -> None:
    """Adopt refuses unknown options, names that pyvol has, and volumes that the engine does not have."""
    served.ok("VolumeDriver.Create", {"Name": "taken"})
    said = summary(local(tmp_path, "sized", {"size": "1g"}), local(tmp_path, "taken"))
    rows = adopt(served, tmp_path / "e", said, "--from-local", "--all", "--force", code=2)
    assert "unknown option 'size'" in rows[0]["refused"]
    assert "cannot be adopted: pool 'default' has a volume of this name" in rows[1]["refused"]
    with engine(tmp_path / "f", said) as socket:
        done = served.cli("adopt", "--engine", socket, "--from-local", "other")
    assert (done.returncode, "is not a volume of Docker's local driver" in done.stderr) == (3, True)
    done = served.cli("adopt", "--engine", "/nope", "--from-local", "sized")
    assert (done.returncode, "/nope does not answer" in done.stderr) == (69, True)


def test_an_engine_that_keeps_its_volume_is_reported(served: Served, tmp_path: Path) -> None:
    """If the engine does not remove its volume, adopt reports the engine's error after the adoption."""
    said = summary(local(tmp_path, "data"))
    del said["DELETE /volumes/data"]
    (row,) = adopt(served, tmp_path / "e", said, "--from-local", "data", "--force", code=1)
    assert row["done"]
    assert row["refused"] == (
        "volume 'data' is adopted, but Docker has not recorded that: the engine refused the request: DELETE "
        "/volumes/data: not so; `docker volume rm data` if Docker still shows driver local, then "
        "`docker volume create -d pyvol data`"
    )
    assert (served.root / "volumes/data/_data/file").read_text() == "kept"


def test_the_state_file_of_local_persist(served: Served, tmp_path: Path) -> None:
    """Volumes of local-persist are adopted in place or moved; an invalid state file is refused."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("kept")
    file = tmp_path / "local-persist.json"
    file.write_text(json.dumps({"state": {name: str(tmp_path / name) for name in ("one", "two")}}))
    theirs = {"Name": "two", "Driver": "local-persist", "Mountpoint": str(tmp_path / "two")}
    words = ("--from-local-persist", str(file))
    (row,) = adopt(served, tmp_path / "e", summary(theirs), *words, "one", "--force")
    assert (row["how"], row["source"]) == ("stays in place", str(tmp_path / "one"))
    assert options(served) == {"one": {"path": str(tmp_path / "one")}}
    (row,) = adopt(served, tmp_path / "f", summary(theirs), *words, "two", "--move", "--force")
    assert (row["how"], row["done"]) == ("rename", True)
    assert (served.root / "volumes/two/_data/file").read_text() == "kept"
    wrong = {b"[]": "is not a state file", b'{"state":{"a":"\xff"}}': "is not a state file", b"": "read"}
    for content, word in {**wrong, b'{"state":{"a":"/a"}}': "volume 'b' is not in"}.items():
        file.unlink(missing_ok=True)
        if content:
            file.write_bytes(content)
        done = served.cli("adopt", "--engine", "/nope", *words, "b")
        assert (done.returncode, word in done.stderr) == (3 if word == "volume 'b' is not in" else 2, True), done


def test_a_directory_under_a_name(served: Served, tmp_path: Path) -> None:
    """A directory is adopted without an engine; people see a table and the next step."""
    path = tmp_path / "notes"
    path.mkdir()
    words = ("adopt", "--engine", "/nope", "--path", str(path), "--name", "notes", "--move")
    shown = served.cli(*words)
    assert ("notes  rename" in shown.stdout, "add --force" in shown.stderr) == (True, True)
    assert "1 adopted" in served.cli(*words, "--force").stderr
    again = served.cli(*words)
    assert (again.returncode, "refused" in again.stdout) == (4, True)
    assert "Nothing to adopt" in served.cli("adopt").stderr
    missing = served.cli("adopt", "nobody")
    assert (missing.returncode, "no pool has an unknown directory" in missing.stderr) == (2, True)


def test_containers_on_a_directory(served: Served, tmp_path: Path) -> None:
    """A move is refused while a container runs on the directory; a stopped container must be recreated."""
    (tmp_path / "all/notes").mkdir(parents=True)
    words = ("--path", str(tmp_path / "all/notes"), "--name", "notes")
    binds = {"Names": ["/web"], "State": "running", "Mounts": [{"Source": str(tmp_path / "all")}]}
    (row,) = adopt(served, tmp_path / "e", summary(containers=(binds,)), *words, "--move", code=4)
    assert "web uses it" in row["refused"]
    (row,) = adopt(served, tmp_path / "f", summary(containers=(binds,)), *words)
    assert (row["how"], row["next"]) == ("stays in place", "")
    idle = {"Names": ["/old"], "State": "exited", "Mounts": [{"Source": str(tmp_path / "all/notes")}]}
    (row,) = adopt(served, tmp_path / "g", summary(containers=(idle,)), *words, "--move")
    assert (row["how"], row["next"]) == ("rename", "recreate old with the volume instead of the directory")


def test_contradicting_options_are_refused() -> None:
    """Options that contradict each other end with exit code 2, without a request."""
    for words in (
        "--from-local",
        "--from-local a --all",
        "--all",
        "--path /a",
        "--path /a --name a b",
        "--path /a --name a --from-local --all",
        "--from-local a --move",
        "-o mode=0700",
    ):
        done = CliRunner().invoke(adopt_, ["--socket", "/nope", "--engine", "/nope", *words.split()])
        assert done.exit_code == 2, words


def test_a_directory_without_manifest_is_not_adopted(served: Served, tmp_path: Path) -> None:
    """A directory with `_data` but without its manifest is adopted only after the manifest exists."""
    served.ok("VolumeDriver.Create", {"Name": "v", "Opts": {"uid": "7"}})
    served.stop()
    place = served.root / "volumes/v"
    (served.root / "pyvol.db").unlink()
    place.rename(tmp_path / "arriving")
    served.start()
    (place / "_data").mkdir(parents=True)
    (row,) = adopt(served, tmp_path / "e", summary(), "--force", code=1)
    assert "'v' cannot be adopted: its volume.json is missing" in row["refused"]
    assert served.cli("ls", "--quiet").stdout == ""
    (place / "volume.json").write_bytes((tmp_path / "arriving/volume.json").read_bytes())
    (row,) = adopt(served, tmp_path / "f", summary(), "--force")
    assert row["done"]
    assert json.loads(served.cli("inspect", "--json", "v").stdout)[0]["options"] == {"uid": "7"}
