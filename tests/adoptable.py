"""What there is to adopt beside a house's pool, and how it is asked for."""

from pathlib import Path

import pytest

from house import House
from pyvol.core.model.adoption import Asked, Kind
from pyvol.host.files import copy_tree


def directory(house: House, name: str = "old") -> Path:
    """Create a directory with files beside the pool."""
    path = house.root / name
    (path / "sub").mkdir(parents=True)
    (path / "sub/file").write_text("kept")
    path.chmod(0o2750)
    return path


def of_engine(house: House, name: str = "v") -> Path:
    """Create such a directory in the form of the engine's local driver."""
    return directory(house, f"docker/volumes/{name}/_data")


def asked(path: Path | str, name: str = "v", kind: Kind = Kind.DIRECTORY, **options: str) -> Asked:
    """Return a request to adopt it."""
    return Asked(name, kind, options, str(path))


def copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything on another file system."""
    monkeypatch.setattr(copy_tree, "on_one_mount", lambda *_: False)
