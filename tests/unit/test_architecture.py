"""docs/architecture.md says what is true of the tree."""

import ast
import re
import tomllib
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
CODE = TOP / "plugin/pyvol"
PAGE = (TOP / "docs/architecture.md").read_text()
ROWS = re.findall(r"^\| `([a-z]+)/` \|", PAGE, re.MULTILINE)
LONGEST_PAGE = 75
LARGEST_MODULE = 300
LARGEST_FOLDER = 14


def test_every_module_and_package_that_it_names_exists() -> None:
    """A path in backticks is below `plugin/pyvol`; a directory of a pool is in `storage/layout.py`."""
    on_disk = {f"{name}/" for name in ("volumes", "trash", "staging")}
    named = set(re.findall(r"`([a-z_0-9]+/[a-z_0-9/]*(?:\.py)?)`", PAGE)) - on_disk
    assert len(named) > 20
    assert sorted(path for path in named if not (CODE / path).exists()) == []
    assert [path for path in named if path.endswith("/") and not (CODE / path).is_dir()] == []


def test_its_table_has_every_package_from_top_to_bottom() -> None:
    """The table is in the order of the layers that import-linter checks."""
    assert set(ROWS) == {path.parent.name for path in CODE.glob("*/__init__.py")}
    (layers,) = (
        contract["layers"]
        for contract in tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        if contract.get("containers") == ["pyvol"]
    )
    order = [set(layer.split(" | ")) for layer in layers if layer != "__main__"]
    rows = iter(ROWS)
    assert [{next(rows) for _ in layer} for layer in order] == order


def test_it_names_the_layers_of_the_core() -> None:
    """The layers inside the core are import-linter's, in its order."""
    (layers,) = (
        contract["layers"]
        for contract in tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        if contract.get("containers") == ["pyvol.core"]
    )
    assert " → ".join(f"`{layer}`" for layer in layers) in PAGE


def test_it_fits_on_a_screen() -> None:
    """The page is an overview; what needs more room is a decision."""
    assert len(PAGE.splitlines()) <= LONGEST_PAGE


def test_no_module_and_no_folder_is_too_large() -> None:
    """A module has at most 300 lines, and a folder at most 14 modules."""
    modules = [path for path in CODE.rglob("*.py") if path.name != "__init__.py"]
    assert {str(path) for path in modules if len(path.read_text().splitlines()) > LARGEST_MODULE} == set()
    folders = [path.parent for path in modules]
    assert {str(folder) for folder in folders if folders.count(folder) > LARGEST_FOLDER} == set()


def test_the_core_reads_no_clock_by_another_way() -> None:
    """import-linter keeps `time` out of the core; `datetime` tells the time too."""
    telling = {"now", "utcnow", "today"}
    found = [
        f"{path.relative_to(CODE)}:{node.lineno}"
        for path in (CODE / "core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in telling
        and ast.unparse(node.value).endswith(("date", "time"))
    ]
    assert found == []
