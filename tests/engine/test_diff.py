"""`pyvol diff` with a real Compose: a file compared with the volumes that an earlier file created."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .images import BOX

if TYPE_CHECKING:
    from pathlib import Path

    from .machine import Machine

pytestmark = [pytest.mark.engine, pytest.mark.beside]

FILE = """
x-box: &box {{image: {box}, command: ["true"], pull_policy: never, network_mode: none}}
services:
  web: {{<<: *box, volumes: [data:/data, kept:/kept]}}
  job: {{<<: *box, volumes: [spare:/spare], profiles: [jobs]}}
volumes:
  data: {{driver: pyvol, driver_opts: {{uid: "${{WEB_UID}}", mode: "{mode}"}}}}
  kept: {{external: true, name: archive}}
  spare: {{driver: pyvol, name: spare-of-shop}}
"""


@pytest.mark.since("26")  # one release is enough: Compose is the same for all engines
def test_changed_options_show_and_can_be_set(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine ignores changed options in the file and in .env; diff lists them until they are set."""
    monkeypatch.setenv("PATH", machine.release.path)
    monkeypatch.setenv("DOCKER_CONFIG", machine.dockerd.environment()["DOCKER_CONFIG"])
    file, variables = tmp_path / "compose.yaml", tmp_path / ".env"
    file.write_text(FILE.format(box=BOX, mode="0750"))
    variables.write_text("COMPOSE_PROJECT_NAME=shop\nWEB_UID=1000\n")
    compose = ["compose", "--project-directory", str(tmp_path), "--file", str(file), "--profile", "*"]
    machine.create("archive")
    machine.docker(*compose, "create")
    assert machine.volumes() == ["archive", "shop_data", "spare-of-shop"]
    assert machine.plugin.ask("diff", str(file)) == []

    file.write_text(FILE.format(box=BOX, mode="0700"))
    variables.write_text("COMPOSE_PROJECT_NAME=shop\nWEB_UID=2000\n")
    machine.create("shop_data", uid="2000", mode="0700")
    assert machine.plugin.ask("inspect", "shop_data")[0]["options"] == {"uid": "1000", "mode": "0750"}
    differs = machine.plugin.run("diff", "--json", str(file))
    assert differs.returncode == 1, differs.stderr
    assert [(row["volume"], row["option"], row["file"], row["pyvol"]) for row in json.loads(differs.stdout)] == [
        ("shop_data", "uid", "2000", "1000"),
        ("shop_data", "mode", "0700", "0750"),
    ]
    machine.plugin.ask("set", "shop_data", "uid=2000", "mode=0700")
    assert machine.plugin.ask("diff", str(file)) == []
    (missing,) = json.loads(machine.plugin.run("diff", "--json", "-p", "other", str(file)).stdout)
    assert (missing["volume"], missing["do"]) == ("other_data", "`docker compose up` creates it")
