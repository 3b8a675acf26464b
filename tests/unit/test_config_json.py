"""config.json, as far as it can be checked without an engine."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pyvol.config import settings

TOP = Path(__file__).resolve().parents[2]
MANIFEST: dict[str, Any] = json.loads((TOP / "config.json").read_text())
GUIDE = (TOP / "docs" / "managed-plugin.md").read_text()
SETTABLE = [entry for entry in (*MANIFEST["env"], *MANIFEST["mounts"]) if entry.get("settable")]


def test_defaults_are_the_daemons() -> None:
    """Each variable is a setting's, and where nothing is set it says what pyvol would do without it."""
    by_variable = {setting.variable: setting for setting in settings.TABLE}
    given = {entry["name"]: entry["value"] for entry in MANIFEST["env"]}
    assert {name for name in given if given[name] != by_variable[name].default} == {"PYVOL_PROPAGATED_MOUNT"}
    assert given["PYVOL_PROPAGATED_MOUNT"] == MANIFEST["propagatedMount"]
    texts = {by_variable[name].key: text for name, text in given.items()}
    assert settings.load(texts).root == Path(MANIFEST["mounts"][0]["destination"])


@pytest.mark.parametrize("entry", SETTABLE, ids=lambda entry: entry["name"])
def test_what_can_be_set_is_described(entry: dict[str, Any]) -> None:
    """In config.json, and in the documentation's table with its default."""
    assert entry["description"]
    name = f"{entry['name']}.source" if "source" in entry else entry["name"]
    assert re.search(rf"^\\| .*`{re.escape(name)}`", GUIDE, re.MULTILINE)


def test_each_privilege_is_explained() -> None:
    """The documentation lists each privilege that `docker plugin install` asks for, with the reason."""
    asked = [
        *MANIFEST["linux"]["capabilities"],
        *(mount["source"] for mount in MANIFEST["mounts"]),
        "host pid",
        "network",
    ]
    explained = GUIDE[GUIDE.index("| privilege | why |") : GUIDE.index("**Without the host's process namespace**")]
    assert all(privilege in explained for privilege in asked)
    assert "devices" not in MANIFEST["linux"]


def test_all_packages_are_pinned() -> None:
    """Each line of the image's requirements is one version, with the hashes of its files."""
    for name in ("requirements", "requirements-build"):
        text = (TOP / "packaging" / f"{name}.txt").read_text().replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert lines
        assert all(re.fullmatch(r"[a-z0-9-]+==\S+( +; [^#]*?)?( +--hash=sha256:[0-9a-f]{64})+", line) for line in lines)


def test_each_dependency_is_among_them() -> None:
    """A dependency that was added to pyproject.toml is missing in the image until `make requirements`."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (TOP / "packaging/requirements.txt").read_text(), re.MULTILINE))
    assert {re.match(r"[\w-]+", line)[0].lower().replace("_", "-") for line in project["dependencies"]} <= pinned  # type: ignore[index]
