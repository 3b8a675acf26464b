"""What exists becomes a volume: which way, what is refused, and that the files are in one of two places at any time."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from engine.deadline import await_true
from fakes import FakePool
from house import House
from pyvol.core.errors import BadOption, BadRequest, CatalogFailed, NameTaken, StorageFailed, VolumeExists, VolumeInUse
from pyvol.core.model import Space
from pyvol.core.plans import Asked, How, Kind, Plan
from pyvol.host import copying, counters, directories
from pyvol.host.mounts import KernelMounts
from pyvol.host.pinned import Pinned
from pyvol.storage import intake


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """A house on a file system that is no system directory's, so that what lies beside its pool may be adopted."""
    made = House(tmp_path)
    yield made
    made.close()


def directory(house: House, name: str = "old") -> Path:
    """A directory with files in it, beside the pool."""
    path = house.root / name
    (path / "sub").mkdir(parents=True)
    (path / "sub/file").write_text("kept")
    path.chmod(0o2750)
    return path


def of_engine(house: House, name: str = "v") -> Path:
    """The same, as the engine's own driver has it."""
    return directory(house, f"docker/volumes/{name}/_data")


def asked(path: Path | str, name: str = "v", kind: Kind = Kind.DIRECTORY, **options: str) -> Asked:
    """Ask for it."""
    return Asked(name, kind, options, str(path))


def copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything on another file system."""
    monkeypatch.setattr(copying, "on_one_mount", lambda *_: False)


def test_a_directory_is_renamed_into_the_pool(home: House) -> None:
    """The same inodes, with their mode, are the volume's; nothing is left behind, and a restart changes nothing."""
    path = directory(home)
    inode = path.stat().st_ino
    plan = home.adopting.plan(asked(path, mode="0700"))
    assert (plan, path.is_dir()) == (Plan("v", Kind.DIRECTORY, How.RENAME, "default", str(path)), True)
    assert home.adopting.adopt(asked(path, protect="true")) == plan
    again = home.reopened()
    assert again.data("v").stat().st_ino == inode
    assert again.data("v").stat().st_mode & 0o7777 == 0o2750
    assert (again.data("v") / "sub/file").read_text() == "kept"
    assert again.volumes.get("v").spec.protect
    assert not path.exists()
    assert list((home.root / "pool/staging").iterdir()) == []
    again.close()


def test_what_is_on_another_file_system_is_copied(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, modes and times; the source of --path stays, that of an engine's volume is put aside."""
    copied(monkeypatch)
    path = directory(home)
    os.utime(path, (1, 1))
    assert home.adopting.adopt(asked(path)).how is How.COPY
    assert (path / "sub/file").read_text() == (home.data("v") / "sub/file").read_text() == "kept"
    assert home.data("v").stat().st_mode & 0o7777 == 0o2750
    assert home.data("v").stat().st_mtime == 1
    theirs = of_engine(home)
    assert home.adopting.adopt(asked(theirs, "w", Kind.ENGINE)).how is How.COPY
    assert (home.data("w") / "sub/file").read_text() == "kept"
    assert [path.name for path in theirs.parent.iterdir()] == ["_data.adopted"]
    assert home.adopting.copies == []


def test_a_rename_that_the_kernel_refuses_becomes_a_copy(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotas and subvolumes can refuse what looks like one file system (EXDEV)."""

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    with monkeypatch.context() as patch:
        patch.setattr(home.intake, "rename", lambda *_: False)
        assert home.adopting.adopt(asked(directory(home))).how is How.COPY
    path = directory(home, "other")
    volume = home.volumes.get("v")
    with monkeypatch.context() as patch:
        patch.setattr(Pinned, "move", refuse)
        assert not home.intake.rename(volume, str(path))
    assert list((home.root / "pool/staging").iterdir()) == []


def test_a_copy_that_fails_leaves_all_as_it_was(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cp said is told; no half copy stays, and the name is free."""
    copied(monkeypatch)
    path = directory(home)
    monkeypatch.setattr(copying, "COPY", (*copying.COPY[:-1], "--no-such-flag", "--"))
    with pytest.raises(StorageFailed, match=r"'v'.*stay where they are: cp: unrecognized option"):
        home.adopting.adopt(asked(path))
    assert list((home.root / "pool/staging").iterdir()) == []
    assert (path / "sub/file").read_text() == "kept"
    home.adopting.end()
    with pytest.raises(StorageFailed, match="pyvol is stopping"):
        home.adopting.adopt(asked(path))


def test_a_container_that_came_while_it_was_copied_keeps_its_files(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has written meanwhile would not be in the copy: that is thrown away."""
    copied(monkeypatch)
    path = directory(home)
    monkeypatch.setattr(home.intake._counts, "count", lambda *_: (home.kernel.run(str(path)), 0, ""))
    with pytest.raises(VolumeInUse, match=r"'v' is not adopted: sleep \(pid"):
        home.adopting.adopt(asked(path))
    assert list((home.root / "pool/staging").iterdir()) == []
    assert home.volumes.all() == []


def replace(directory: Path, other: Path) -> None:
    """Put a symlink to another directory in the place of one, as who may write above it can."""
    directory.rename(directory.with_name("away"))
    directory.symlink_to(other)


@pytest.fixture
def trap(home: House) -> Path:
    """A directory above one to adopt, `mine/old`, and what nobody asked for, where a symlink in its place leads."""
    directory(home, "mine/old")
    secret = directory(home, "secret/old")
    (secret / "sub/file").write_text("secret")
    return home.root / "mine"


def taken(house: House, path: Path) -> str:
    """What the volume has after an adoption of a path; empty where that was refused."""
    try:
        house.adopting.adopt(asked(path))
    except StorageFailed as error:
        return "" if "'v' is not adopted: something else was put in the place of" in str(error) else str(error)
    return (house.data("v") / "sub/file").read_text()


@pytest.mark.parametrize("is_copy", [False, True])
def test_a_symlink_put_above_it_after_the_check_is_not_followed(
    home: House, trap: Path, monkeypatch: pytest.MonkeyPatch, *, is_copy: bool
) -> None:
    """Neither by a rename nor by a copy: what was checked is what is taken, or nothing."""
    if is_copy:
        copied(monkeypatch)
    check = home.intake.way

    def swap(*words: str) -> How:
        try:
            return check(*words)
        finally:
            replace(trap, home.root / "secret")

    monkeypatch.setattr(home.intake, "way", swap)
    assert taken(home, trap / "old") == ""
    assert list((home.root / "pool/staging").iterdir()) == []
    assert (home.root / "secret/old/sub/file").read_text() == "secret"


@pytest.mark.parametrize(("below", "is_copy"), [("", False), ("", True), ("old", False)])
def test_what_is_swapped_as_it_is_taken_is_not_taken(
    home: House, trap: Path, monkeypatch: pytest.MonkeyPatch, below: str, *, is_copy: bool
) -> None:
    """The directory that was opened is, wherever it is by then; what has its name now is put back."""
    if is_copy:
        copied(monkeypatch)
    describe: Callable[..., None] = intake._describe

    def swap(*words: object) -> None:
        describe(*words)
        replace(trap / below, home.root / "secret" / below)

    monkeypatch.setattr(intake, "_describe", swap)
    assert taken(home, trap / "old") == ("" if below else "kept")
    assert list((home.root / "pool/staging").iterdir()) == []
    assert (home.root / "secret/old/sub/file").read_text() == "secret"
    assert (trap / below).is_symlink()


def swap_back(top: Path) -> None:
    """Have another directory in the place of one for a while."""
    replace(top / "a", top)
    (top / "a").unlink()
    (top / "away").rename(top / "a")


@pytest.mark.parametrize(
    "change",
    [
        lambda top: (top / "new").touch(),
        lambda top: (top / "a/b/file").write_text("late"),
        lambda top: (top / "file").unlink(),
        swap_back,
    ],
)
def test_what_is_changed_in_a_copy_is_found(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """A file, a name, or a directory that was another for a while: the kernel has stamped it, or what it is in."""
    top, mark, clock = tmp_path / "top", tmp_path / "mark", tmp_path / "clock"
    (top / "a/b").mkdir(parents=True)
    for file in (top / "file", top / "a/b/file", mark, clock):
        file.touch()
    with Pinned(str(top)) as held:
        assert copying.find_changed(held.descriptor, str(mark)) is None
        while clock.stat().st_ctime_ns <= mark.stat().st_ctime_ns:  # the kernel's is coarse
            clock.touch()
        change(top)
        assert copying.find_changed(held.descriptor, str(mark)) is not None


def test_a_copy_for_which_there_is_no_room_is_not_begun(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both numbers are told; where source and pool are on one disk, blocks may be shared, and cp finds out."""
    copied(monkeypatch)
    path = directory(home)
    monkeypatch.setattr(home.intake._counts, "count", lambda *_: (3 << 30, 0, ""))
    with monkeypatch.context() as patch:
        patch.setattr(directories, "space", lambda _: Space(4 << 30, 1 << 30))
        patch.setattr(KernelMounts, "device", lambda _, path: path)
        with pytest.raises(StorageFailed, match=r"its files take 3\.0 GiB, and pool 'default' has 1\.0 GiB free"):
            home.adopting.adopt(asked(path))
    assert list((home.root / "pool/staging").iterdir()) == []
    with monkeypatch.context() as patch:
        patch.setattr(directories, "space", lambda _: Space(4 << 30, 1 << 30))
        home.adopting.adopt(asked(path))


def test_a_count_is_given_up_with_the_copy(home: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that stops waits for no count of a million files, and begins none."""
    copied(monkeypatch)
    monkeypatch.setattr(counters, "PROGRAM", tmp_path / "endless.py")
    (tmp_path / "endless.py").write_text(f"open({str(tmp_path / 'begun')!r}, 'x')\nwhile input():\n    pass\n")
    path = directory(home)
    told: list[str] = []

    def adopt() -> None:
        try:
            home.adopting.adopt(asked(path))
        except StorageFailed as error:
            told.append(str(error))

    thread = threading.Thread(target=adopt)
    thread.start()
    await_true((tmp_path / "begun").exists, "the count")
    home.adopting.end()
    thread.join(counters.SILENCE_S / 2)
    adopt()
    assert told == ["volume 'v': its files could not be copied, and stay where they are: pyvol is stopping"] * 2


def test_who_may_not_take_a_path_is_named(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an option or another adoption stands in the way only when its turn has come."""
    path = directory(home)
    plan = home.adopting.plan(asked(path))
    monkeypatch.setattr(home.adopting, "plan", lambda _: plan)
    home.volumes.create("other", {"path": str(path / "sub")})
    with pytest.raises(BadOption, match=r"^volume 'v': path .* overlaps that of volume 'other'"):
        home.adopting.adopt(asked(path))
    home.volumes.remove("other")
    with pytest.raises(BadOption, match=r"^volume 'v': unknown option 'size'"):
        home.adopting.adopt(asked(path, size="1g"))


def test_what_is_in_use_or_taken_is_refused(home: House) -> None:
    """A running container on it, a name that pyvol has or had: refused in the plan already, and nothing is touched."""
    path = directory(home)
    pid = home.kernel.run(str(path))
    with pytest.raises(VolumeInUse, match="stop the container first"):
        home.adopting.plan(asked(path))
    home.kernel.end(pid)
    home.volumes.create("taken", None)
    home.volumes.create("a", None)
    home.renaming.rename(home.volumes.get("a"), "b")
    for name, says in (("taken", "is pyvol's already"), ("a", "is 'b' now")):
        with pytest.raises(VolumeExists, match=says):
            home.adopting.adopt(asked(path, name))
    (home.root / "pool/volumes/known-to-nobody/x").mkdir(parents=True)
    with pytest.raises(NameTaken, match="`pyvol adopt`"):
        home.adopting.adopt(asked(path, "known-to-nobody"))
    assert (path / "sub/file").read_text() == "kept"


def test_directories_that_may_not_be_taken(home: House) -> None:
    """A system's, pyvol's own, another volume's, what is none: each is told."""
    path = directory(home)
    home.volumes.create("there", {"path": str(path)})
    for bad in ("/etc", home.root / "pool", home.root, path, path / "sub", path / "sub/file", "relative", "/no/such"):
        with pytest.raises(BadOption):
            home.adopting.adopt(asked(bad))
    for bad in (path, "/no/_data", home.root / "pool/volumes/x/_data", path / "sub/file"):
        with pytest.raises(BadOption):
            home.adopting.plan(asked(bad, kind=Kind.ENGINE))
    assert (path / "sub/file").read_text() == "kept"
    assert [volume.name for volume in home.volumes.all()] == ["there"]


def test_something_mounted_in_it_is_left_alone(home: House) -> None:
    """A rename would take another file system along, and a copy would copy it."""
    with pytest.raises(StorageFailed, match="something is mounted in it, at /dev/"):
        home.intake.way("/dev", "default")


def test_files_go_into_a_pool_of_this_host(home: House) -> None:
    """An option that says where the files are contradicts a move."""
    path = directory(home)
    for options in ({"path": str(path / "sub")}, {"subdir": "x"}):
        with pytest.raises(BadRequest, match="leave out path, subdir, type"):
            home.adopting.plan(Asked("v", Kind.DIRECTORY, options, str(path)))
    with pytest.raises(BadOption, match=r"'v'.*unknown option 'size'"):
        home.adopting.plan(asked(path, size="1g"))


def test_a_directory_stays_where_it_is(home: House) -> None:
    """As with -o path=; its files stay when the volume goes."""
    path = directory(home)
    plan = home.adopting.adopt(Asked("v", Kind.OPTIONS, {"path": str(path)}))
    assert (plan.how, plan.source) == (How.STAYS, str(path))
    assert home.data("v") == path
    with pytest.raises(VolumeExists):
        home.adopting.adopt(Asked("v", Kind.OPTIONS, {"path": str(path)}))


def test_a_commit_that_fails_loses_nothing(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are in the pool, the error says what to do, and the next start has the volume."""
    path = directory(home)

    def fail(*_: object) -> None:
        raise CatalogFailed("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(home.catalog, "save", fail)
        with pytest.raises(CatalogFailed, match="restart pyvol, which takes them in"):
            home.adopting.adopt(asked(path))
    again = home.reopened()
    assert (again.data("v") / "sub/file").read_text() == "kept"
    again.close()


def test_an_engine_s_directory_that_cannot_be_put_aside_is_told_of(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The volume is whole by then: a line in the log, no error."""
    copied(monkeypatch)
    theirs = of_engine(home)
    (theirs.parent / "_data.adopted").mkdir()
    (theirs.parent / "_data.adopted/x").touch()
    home.adopting.adopt(asked(theirs, kind=Kind.ENGINE))
    assert "what was copied stays under its name" in home.journal.events
    assert (home.data("v") / "sub/file").read_text() == "kept"


def test_directories_that_came_from_another_host_are_taken_in(house: House) -> None:
    """While the daemon runs, with their options and ids; a remote pool is none of this host's business."""
    house.volumes.create("a", {"mode": "0700"})
    (house.root / "pool/volumes/a").rename(house.root / "a")
    house = house.reopened()
    house.volumes.remove("a")
    (house.root / "a").rename(house.root / "pool/volumes/a")
    (house.root / "pool/volumes/not a name").mkdir()
    (plan,) = house.adopting.strays()
    assert (plan.name, plan.how) == ("a", How.STAYS)
    assert house.adopting.adopt(asked("", "a", Kind.STRAY)) == plan
    assert house.volumes.get("a").spec.mode == 0o700
    assert house.adopting.strays() == []
    with pytest.raises(VolumeExists, match="'a' is pyvol's already"):
        house.adopting.adopt(asked("", "a", Kind.STRAY))
    with pytest.raises(BadRequest, match="no pool has a directory"):
        house.adopting.adopt(asked("", "b", Kind.STRAY))
    house.close()


def test_a_name_that_came_from_another_host_and_is_taken(scratch: Path) -> None:
    """In another pool: it is shown, and refused; copied over the volume of that name: the doctor tells."""
    pools = {"default": FakePool(), "fast": FakePool("fast")}
    house = House(scratch, pools=pools)
    house.volumes.create("v", None)
    pools["fast"].live["v"] = house.volumes.get("v")
    (plan,) = house.adopting.strays()
    assert plan == Plan("v", Kind.STRAY, How.STAYS, "fast")
    with pytest.raises(VolumeExists, match=r"'v' is pyvol's already, in pool 'default'"):
        house.adopting.adopt(asked("", "v", Kind.STRAY))
    pools["default"].live["v"] = msgspec.structs.replace(house.volumes.get("v"), id="0" * 16)
    (finding,) = [found for found in house.doctor.examine() if found.check == "pool default: descriptors"]
    assert "v (it is another volume's, copied over this one" in finding.says
    house.close()


def test_a_share_is_not_looked_at(tmp_path: Path) -> None:
    """Its own thread follows it."""
    pool = FakePool()
    pool.is_remote = True
    pool.failing["census"] = "never"
    house = House(tmp_path, pools={"default": pool})
    assert house.adopting.strays() == []
    with pytest.raises(BadRequest, match="a pool of this host's alone"):
        house.adopting.plan(asked(directory(house)))
    house.close()


@pytest.mark.parametrize("broken", [False, True])
def test_files_that_were_taken_become_a_volume_at_the_next_start(house: House, *, broken: bool) -> None:
    """Also where their name was taken by hand meanwhile, or what was noted of them cannot be read."""
    path = of_engine(house)
    house.adopting.adopt(asked(path, kind=Kind.ENGINE))
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
