"""Adopting: how data becomes a volume, and what is refused. No step loses the files."""

from pathlib import Path

import msgspec
import pytest

from adoptable import asked, directory, of_engine
from fakes import FakePool
from house import House
from pyvol.core.concurrency.task import Task
from pyvol.core.errors import BadOption, BadRequest, CatalogFailed, NameTaken, VolumeExists, VolumeInUse
from pyvol.core.model.adoption import AdoptMethod, Asked, Kind, Plan
from pyvol.core.ports.pool import REMOTE


def test_a_directory_is_renamed_into_the_pool(home: House) -> None:
    """The volume has the same inodes with their mode; nothing else is left, and a restart changes nothing."""
    path = directory(home)
    inode = path.stat().st_ino
    plan = home.adopting.plan(asked(path, mode="0700"))
    assert (plan, path.is_dir()) == (Plan("v", Kind.DIRECTORY, AdoptMethod.RENAME, "default", str(path)), True)
    assert home.adopt(asked(path, protect="true")) == plan
    again = home.reopened()
    assert again.data("v").stat().st_ino == inode
    assert again.data("v").stat().st_mode & 0o7777 == 0o2750
    assert (again.data("v") / "sub/file").read_text() == "kept"
    assert again.volumes.get("v").spec.protect
    assert not path.exists()
    assert list((home.root / "pool/staging").iterdir()) == []
    again.close()


def test_a_plan_is_checked_again(home: House) -> None:
    """If another volume takes the path, or the name, after the plan was made, the adoption is refused."""
    path = directory(home)
    plan = home.adopting.plan(asked(path))
    stays = home.adopting.plan(Asked("v", Kind.OPTIONS, {"path": str(path)}))
    home.volumes.create("other", {"path": str(path / "sub")})
    with pytest.raises(BadOption, match=r"^volume 'v' cannot be adopted: path .* overlaps with .* of volume 'other'"):
        home.adopting.adopt(plan, {}, Task())
    home.volumes.remove("other")
    with pytest.raises(BadOption, match=r"^volume 'v' cannot be adopted: unknown option 'size'"):
        home.adopting.adopt(plan, {"size": "1g"}, Task())
    home.volumes.create("v", None)
    for late in (plan, stays):
        with pytest.raises(VolumeExists):
            home.adopting.adopt(late, {}, Task())


def test_what_is_in_use_or_taken_is_refused(home: House) -> None:
    """A name that pyvol has, or a directory in use, is refused in the plan, and nothing changes."""
    path = directory(home)
    pid = home.kernel.run(str(path))
    with pytest.raises(VolumeInUse, match="stop the container first"):
        home.adopting.plan(asked(path))
    home.kernel.end(pid)
    home.volumes.create("taken", None)
    home.volumes.create("a", None)
    home.renaming.rename(home.volumes.get("a"), "b")
    for name, summary in (
        ("taken", "pool 'default' has a volume of this name"),
        ("a", "its name is 'b' now"),
    ):
        with pytest.raises(VolumeExists, match=summary):
            home.adopt(asked(path, name))
    (home.root / "pool/volumes/known-to-nobody/x").mkdir(parents=True)
    with pytest.raises(NameTaken, match="`pyvol adopt`"):
        home.adopt(asked(path, "known-to-nobody"))
    assert (path / "sub/file").read_text() == "kept"


def test_directories_that_may_not_be_taken(home: House) -> None:
    """Adopt refuses system directories, directories of pyvol, directories of other volumes, and files."""
    path = directory(home)
    home.volumes.create("there", {"path": str(path)})
    for bad in ("/etc", home.root / "pool", home.root, path, path / "sub", path / "sub/file", "relative", "/no/such"):
        with pytest.raises(BadOption):
            home.adopt(asked(bad))
    for bad in (path, "/no/_data", home.root / "pool/volumes/x/_data", path / "sub/file"):
        with pytest.raises(BadOption):
            home.adopting.plan(asked(bad, kind=Kind.ENGINE))
    assert (path / "sub/file").read_text() == "kept"
    assert home.names() == ["there"]


def test_files_go_into_a_pool_of_this_host(home: House) -> None:
    """An option that says where the files are contradicts a move."""
    path = directory(home)
    for options in ({"path": str(path / "sub")}, {"subdir": "x"}):
        with pytest.raises(BadRequest, match="leave out the options path, subdir and type"):
            home.adopting.plan(Asked("v", Kind.DIRECTORY, options, str(path)))
    with pytest.raises(BadOption, match=r"'v'.*unknown option 'size'"):
        home.adopting.plan(asked(path, size="1g"))


def test_a_directory_stays_where_it_is(home: House) -> None:
    """As with -o path=; its files stay when the volume goes."""
    path = directory(home)
    plan = home.adopt(Asked("v", Kind.OPTIONS, {"path": str(path)}))
    assert (plan.how, plan.source) == (AdoptMethod.STAYS, str(path))
    assert home.data("v") == path
    with pytest.raises(VolumeExists):
        home.adopt(Asked("v", Kind.OPTIONS, {"path": str(path)}))


def test_a_commit_that_fails_loses_nothing(home: House) -> None:
    """The files are in the pool, the error says what to do, and the next start has the volume."""
    path = directory(home)
    with home.catalog.full(), pytest.raises(CatalogFailed, match="restart pyvol, which adds it"):
        home.adopt(asked(path))
    again = home.reopened()
    assert (again.data("v") / "sub/file").read_text() == "kept"
    again.close()


def test_directories_that_came_from_another_host_are_taken_in(house: House) -> None:
    """Adopt takes a directory with its options and id while the daemon runs, except in remote pools."""
    house.volumes.create("a", {"mode": "0700"})
    (house.root / "pool/volumes/a").rename(house.root / "a")
    house = house.reopened()
    house.volumes.remove("a")
    (house.root / "a").rename(house.root / "pool/volumes/a")
    (house.root / "pool/volumes/not a name").mkdir()
    (plan,) = house.adopting.strays()
    assert (plan.name, plan.how) == ("a", AdoptMethod.STAYS)
    assert house.adopt(asked("", "a", Kind.STRAY)) == plan
    assert house.volumes.get("a").spec.mode == 0o700
    assert house.adopting.strays() == []
    with pytest.raises(VolumeExists, match="'a' cannot be adopted: pool 'default' has a volume of this name"):
        house.adopt(asked("", "a", Kind.STRAY))
    with pytest.raises(BadRequest, match="no pool has an unknown directory"):
        house.adopt(asked("", "b", Kind.STRAY))
    house.close()


def test_a_name_that_came_from_another_host_and_is_taken(scratch: Path) -> None:
    """In another pool: it is shown, and refused; copied over the volume of that name: the doctor tells."""
    pools = {"default": FakePool(), "fast": FakePool("fast")}
    house = House(scratch, pools=pools)
    house.volumes.create("v", None)
    pools["fast"].live["v"] = house.volumes.get("v")
    (plan,) = house.adopting.strays()
    assert plan == Plan("v", Kind.STRAY, AdoptMethod.STAYS, "fast")
    with pytest.raises(VolumeExists, match=r"'v' cannot be adopted: pool 'default' has a volume of this name"):
        house.adopt(asked("", "v", Kind.STRAY))
    pools["default"].live["v"] = msgspec.structs.replace(house.volumes.get("v"), id="0" * 16)
    (finding,) = [found for found in house.doctor.examine() if found.check == "pool default: manifests"]
    assert "v (another volume was copied over this one" in finding.summary
    house.close()


def test_a_share_is_not_looked_at(tmp_path: Path) -> None:
    """Its own thread follows it."""
    pool = FakePool()
    pool.traits = REMOTE
    pool.failing["listing"] = "never"
    house = House(tmp_path, pools={"default": pool})
    assert house.adopting.strays() == []
    with pytest.raises(BadRequest, match="only be moved into a local pool"):
        house.adopting.plan(asked(directory(house)))
    house.close()


@pytest.mark.parametrize("broken", [False, True])
def test_files_that_were_taken_become_a_volume_at_the_next_start(house: House, *, broken: bool) -> None:
    """Also if another directory has their name in the meantime, or if their manifest cannot be read."""
    path = of_engine(house)
    house.adopt(asked(path, kind=Kind.ENGINE))
    (house.root / "pool/volumes/v").rename(house.root / "pool/staging/taken-0123456789abcdef")
    (house.root / "pool/volumes/v/_data").mkdir(parents=True)
    (house.root / "pool/staging/taken-empty").mkdir()
    if broken:
        (house.root / "pool/staging/taken-0123456789abcdef/volume.json").write_text("{")
    again = house.reopened()
    name = "adopted" if broken else "v.taken-0123456789abcdef"
    assert (again.data(name) / "sub/file").read_text() == "kept"
    assert list((house.root / "pool/staging").iterdir()) == []
    again.close()
