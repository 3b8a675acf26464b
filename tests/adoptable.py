"""Directories beside a house's pool that can be adopted, and requests to adopt them."""

from pathlib import Path

from house import House
from pyvol.core.model.adoption import Asked, Kind


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


def on_another_file_system(house: House) -> None:
    """Make everything that is adopted look as if it were on another file system."""
    house.importer.files = house.importer.files._replace(can_rename=lambda *_: False)
