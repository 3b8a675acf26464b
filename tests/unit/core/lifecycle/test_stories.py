"""A state machine over engines, daemon and disk, against a small model.

Whatever happens in whatever order, with a crash before or after any act on disk or commit:
no volume that a container uses is ever removed, no acknowledged volume is ever lost, every removed one can be
undeleted, and the catalog equals the disk.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from house import House
from pyvol.core.errors import NoSuchTrash, NoSuchVolume, VolumeExists, VolumeInUse
from pyvol.core.model.volume import Phase

pytestmark = pytest.mark.one_python

NAMES = st.sampled_from(["a", "b", "c"])
OPTIONS = st.sampled_from([{}, {"mode": "0700"}, {"on_remove": "keep"}, {"on_remove": "delete"}])
MOUNT_IDS = st.sampled_from(["id-1", "id-2"])
COMMITS = ("save", "forget", "save_claim", "drop_claim")
CRASHES = st.sampled_from(
    [
        ("create", "provision"),
        ("create", "save"),
        ("remove", "to_trash"),
        ("remove", "save"),
        ("remove", "stage_deletion"),
        ("remove", "forget"),
        ("undelete", "from_trash"),
        ("undelete", "save"),
        ("mount", "save_claim"),
        ("unmount", "save_claim"),
        ("unmount", "drop_claim"),
    ]
)
"""Each verb, and the acts on disk and the commits that it is made of."""


class Crash(BaseException):
    """The daemon is killed here: no handler for errors may see it."""


class Stories(RuleBasedStateMachine):
    """Everything that engines, users and crashes may do."""

    containers: Bundle[tuple[str, str, int]] = Bundle("containers")

    @initialize()
    def begin(self) -> None:
        """A fresh host."""
        self.root = Path(tempfile.mkdtemp(prefix="pyvol-stories-", dir="/dev/shm"))
        self.house = House(self.root)
        self.serial = 0
        self.live: dict[str, str] = {}
        self.for_good: set[str] = set()
        self.trashed: list[tuple[str, str]] = []
        self.claims: dict[tuple[str, str], tuple[int, int]] = {}
        self.generation = self.house.catalog.generation
        self.running: dict[int, str] = {}

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "house"):
            self.house.close()
            shutil.rmtree(self.root)

    @rule(name=NAMES, options=OPTIONS)
    def create(self, name: str, options: dict[str, str]) -> None:
        """An engine creates; on a name that is taken nothing changes."""
        try:
            self.house.volumes.create(name, options)
        except VolumeExists:
            assert name in self.live
            return
        if name not in self.live:
            self._fill(name)
            if options.get("on_remove") == "delete":
                self.for_good.add(name)

    @rule(target=containers, name=NAMES, mount_id=MOUNT_IDS)
    def start_container(self, name: str, mount_id: str) -> Any:
        """An engine mounts, and a container has it in its namespace."""
        if name not in self.live:
            return multiple()
        path = self.house.volumes.mount(name, mount_id)
        self._count(name, mount_id)
        pid = self.house.kernel.run(path)
        self.running[pid] = name
        return (name, mount_id, pid)

    @rule(container=consumes(containers), is_clean=st.booleans())
    def stop_container(self, container: tuple[str, str, int], *, is_clean: bool) -> None:
        """A container ends; the Unmount may never come (fact 8)."""
        name, mount_id, pid = container
        self.house.kernel.end(pid)
        del self.running[pid]
        if is_clean:
            self.house.volumes.unmount(name, mount_id)
            self._release(name, mount_id)

    @rule(name=NAMES, mount_id=MOUNT_IDS)
    def copy(self, name: str, mount_id: str) -> None:
        """`docker cp`: Mount and Unmount under an ID that a container may have (fact 7)."""
        if name in self.live:
            self.house.volumes.mount(name, mount_id)
            self._count(name, mount_id)
            self.house.volumes.unmount(name, mount_id)
            self._release(name, mount_id)

    @rule(name=NAMES, mount_id=MOUNT_IDS)
    def unmount_anything(self, name: str, mount_id: str) -> None:
        """An Unmount comes late, twice, or for nothing (fact 9)."""
        self.house.volumes.unmount(name, mount_id)
        self._release(name, mount_id)

    @rule()
    def activate(self) -> None:
        """Some engine starts, or Podman is about to ask something (fact 10)."""
        self.house.volumes.activate()
        self.generation += 1

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        """An engine removes: refused while a container uses it, else undoable."""
        used = name in self.running.values()
        try:
            self.house.volumes.remove(name)
        except VolumeInUse:
            assert used
            return
        assert not used
        self._to_trash(name)

    @rule(name=NAMES, new_name=st.none() | NAMES)
    def undelete(self, name: str, new_name: str | None) -> None:
        """A user brings one back."""
        target = new_name or name
        self.house.clock.forward(seconds=1)
        try:
            volume = self.house.trash.undelete(name, new_name)
        except NoSuchTrash:
            assert name not in [trashed for trashed, _ in self.trashed]
            return
        except VolumeExists:
            assert target in self.live
            return
        self._from_trash(name, target)
        assert volume.name == target

    @rule()
    def restart(self) -> None:
        """The daemon ends and starts."""
        self.house = self.house.reopened()

    @rule()
    def reap(self) -> None:
        """The background deletes what was discarded; nothing has expired."""
        self.house.reap()

    @rule(where=CRASHES, after=st.booleans(), name=NAMES, mount_id=MOUNT_IDS)
    def crash(self, where: tuple[str, str], *, after: bool, name: str, mount_id: str) -> None:
        """The daemon is killed before or after an act or a commit of a verb, and starts again."""
        verb, act = where
        self._set_the_scene(verb, act, name, mount_id)
        was_live, used = name in self.live, name in self.running.values()
        succeeded = self._crashing(act, after=after, verb=self._verb(verb, name, mount_id))
        self.house = self.house.reopened()
        is_live = self._is_live(name)
        if verb == "create" and not was_live and is_live:
            self._fill(name)
        elif verb == "remove" and was_live and not is_live:
            assert not used
            self._to_trash(name)
        elif verb == "undelete" and not was_live and is_live:
            self._from_trash(name, name)
        elif verb == "mount" and was_live and self._has_counted(name, mount_id):
            self._count(name, mount_id)
        elif verb == "unmount" and (succeeded or self._has_released(name, mount_id)):
            self._release(name, mount_id)

    @invariant()
    def the_catalog_equals_the_disk(self) -> None:
        """Exactly the expected volumes exist, with their data, live and in the trash."""
        if not hasattr(self, "house"):
            return
        assert {volume.name for volume in self.house.volumes.all()} == set(self.live)
        listing = self.house.pools["default"].listing()
        assert listing.live == set(self.live)
        assert listing.trashed == {volume.id for volume in self.house.trash.all()}
        assert sorted(volume.name for volume in self.house.trash.all()) == sorted(name for name, _ in self.trashed)
        for name, token in self.live.items():
            assert (self.house.data(name) / "token").read_text() == token
        for volume in self.house.trash.all():
            token = (self.root / "pool/trash" / volume.id / "_data/token").read_text()
            assert (volume.name, token) in self.trashed
            assert volume.phase is Phase.TRASHED

    @invariant()
    def claims_are_exact(self) -> None:
        """Each claim and its count, no more and no less."""
        if not hasattr(self, "house"):
            return
        found = {(c.volume, c.mount_id): (c.generation, c.count) for c, _ in self.house.volume_status.claims()}
        assert found == self.claims

    def _set_the_scene(self, verb: str, act: str, name: str, mount_id: str) -> None:
        """Make the crash one that matters: the volume there, or in the trash, or claimed."""
        if verb in {"remove", "mount", "unmount"} or (verb == "undelete" and name not in self.live):
            self.create(name, {"on_remove": "delete"} if act in {"stage_deletion", "forget"} else {})
        if verb == "undelete" and name not in self.running.values():
            self.remove(name)
        if verb == "unmount":
            self.house.volumes.mount(name, mount_id)
            self._count(name, mount_id)

    def _fill(self, name: str) -> None:
        self.serial += 1
        self.live[name] = f"token-{self.serial}"
        (self.house.data(name) / "token").write_text(self.live[name])

    def _to_trash(self, name: str) -> None:
        if name in self.live:
            entry = (name, self.live.pop(name))
            if name in self.for_good:
                self.for_good.remove(name)
            else:
                self.trashed.append(entry)
            self.claims = {key: count for key, count in self.claims.items() if key[0] != name}

    def _from_trash(self, name: str, target: str) -> None:
        token = (self.house.data(target) / "token").read_text()
        self.trashed.remove((name, token))
        self.live[target] = token

    def _count(self, name: str, mount_id: str) -> None:
        generation, count = self.claims.get((name, mount_id), (self.generation, 0))
        self.claims[name, mount_id] = (self.generation, count + 1 if generation == self.generation else 1)

    def _release(self, name: str, mount_id: str) -> None:
        generation, count = self.claims.pop((name, mount_id), (0, 0))
        if generation == self.generation and count > 1:
            self.claims[name, mount_id] = (generation, count - 1)

    def _has_counted(self, name: str, mount_id: str) -> bool:
        return self._found(name, mount_id) != self.claims.get((name, mount_id))

    def _has_released(self, name: str, mount_id: str) -> bool:
        return self._has_counted(name, mount_id)

    def _found(self, name: str, mount_id: str) -> tuple[int, int] | None:
        claim = self.house.catalog.claim(name, mount_id)
        return None if claim is None else (claim.generation, claim.count)

    def _is_live(self, name: str) -> bool:
        try:
            self.house.volumes.get(name)
        except NoSuchVolume:
            return False
        return True

    def _verb(self, verb: str, name: str, mount_id: str) -> Callable[[], object]:
        return {
            "create": lambda: self.house.volumes.create(name, None),
            "remove": lambda: self.house.volumes.remove(name),
            "undelete": lambda: self.house.trash.undelete(name),
            "mount": lambda: self.house.volumes.mount(name, mount_id),
            "unmount": lambda: self.house.volumes.unmount(name, mount_id),
        }[verb]

    def _crashing(self, act: str, *, after: bool, verb: Callable[[], object]) -> bool:
        """Run a verb with a crash at an act; return whether it succeeded all the same."""
        owner: Any = self.house.catalog if act in COMMITS else self.house.pools["default"]
        real = getattr(owner, act)

        def crash(*values: Any) -> Any:
            if after:
                real(*values)
            raise Crash

        setattr(owner, act, crash)
        try:
            verb()
        except Crash:
            return False
        except (NoSuchVolume, NoSuchTrash, VolumeExists, VolumeInUse):
            return False
        finally:
            setattr(owner, act, real)
        return True


Stories.TestCase.settings = settings(
    max_examples=200, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStories = Stories.TestCase
