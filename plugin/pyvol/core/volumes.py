"""The story of a volume as an engine tells it: create, get, mount, unmount, remove. Read it from the top down.

Each verb takes the volume's lock, asks the catalog, acts through the pool, and writes down what it has done before it
answers. `get`, `list` and `path` take no lock and touch no storage: they answer from the catalog (promise 1).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from operator import attrgetter

import msgspec

from pyvol.core import claims, labels, options, removal
from pyvol.core.adoption import Adoptions
from pyvol.core.errors import (
    BadOption,
    BadRequest,
    Busy,
    NameTaken,
    NoSuchVolume,
    StorageFailed,
    VolumeExists,
    VolumeInUse,
    VolumeProtected,
)
from pyvol.core.home import pool_named, pool_of
from pyvol.core.locks import NamedLocks
from pyvol.core.model import (
    DEFAULT_POOL,
    Claim,
    OnRemove,
    Phase,
    Volume,
    VolumeSpec,
    check_name,
)
from pyvol.core.ports import Catalog, Clock, Holder, Journal, MountTable, Outlook, Pool
from pyvol.core.sharing import Sharing
from pyvol.core.undoing import taking_back
from pyvol.core.usage import Usage, Usages
from pyvol.core.values import Accounts, Context

MAX_MOUNT_ID = 256
"""Docker's IDs have 64 characters; Podman's constant is one UUID."""


class Volumes:
    """The volumes of this host.

    Args:
        catalog: what exists and what is promised.
        pools: by name; the default pool is among them.
        mounts: what the kernel says is mounted.
        outlook: by which paths others know our directories.
        accounts: this host's users, for `uid` and `gid`.
        clock: the time.
        new_id: makes a volume's id.
        journal: where it is written down what happened.
        locks: shared with the trash.
        trash_keep: how long a removed volume can be undeleted.
        wake_reaper: called when there is something to delete in the background.
        usages: what was counted in the volumes.
        sharing: the pools that other hosts have too.
        adoptions: shared with the trash.
        default_pool: the pool of volumes that name none.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each port by its name
        self,
        *,
        catalog: Catalog,
        pools: Mapping[str, Pool],
        mounts: MountTable,
        outlook: Outlook,
        accounts: Accounts,
        clock: Clock,
        new_id: Callable[[], str],
        journal: Journal,
        locks: NamedLocks,
        trash_keep: timedelta,
        wake_reaper: Callable[[], None],
        usages: Usages,
        sharing: Sharing,
        adoptions: Adoptions,
        default_pool: str = DEFAULT_POOL,
    ) -> None:
        self._catalog = catalog
        self._pools = pools
        self._mounts = mounts
        self._outlook = outlook
        self._context = Context(pools.keys(), accounts, default_pool)
        self._sharing = sharing
        self._adoptions = adoptions
        self._clock = clock
        self._new_id = new_id
        self._journal = journal
        self._locks = locks
        self._trash_keep = trash_keep
        self._wake_reaper = wake_reaper
        self._usages = usages
        self._ailing: dict[str, str] = {}  # by id: another volume can come to the name

    def activate(self) -> None:
        """Open a generation: an engine may have begun a new life (engine facts 8 and 10). A hint, so it never fails."""
        generation = self._catalog.next_generation()
        self._wake_reaper()  # which makes it durable: an engine's start must not wait for a disk (engine fact 33)
        self._journal.debug("engine activated the plugin", generation=generation)

    def create(self, name: str, opts: Mapping[str, str] | None) -> None:
        """Make a volume; a success when it exists with the same options (engine fact 12)."""
        check_name(name)
        try:
            asked = self._parse(name, opts)
            if self._exists(name, asked):
                return
            # To look at a path can take as long as its storage is dead: no lock is held meanwhile.
            spec = pool_named(self._pools, asked.pool).check(asked)
            with self._locks.hold(name), self._adoptions.keeping(name, spec):
                self._create(name, spec)
        except BadOption as error:
            raise BadOption(f"volume {name!r}: {error}") from None

    def read_options(self, name: str, opts: Mapping[str, str]) -> VolumeSpec:
        """Return what options ask for under a name, as `create` reads them; raises `BadOption` where it would."""
        asked = self._parse(check_name(name), opts)
        return pool_named(self._pools, asked.pool).check(asked)

    def get(self, name: str) -> Volume:
        """Return the volume, or raise `NoSuchVolume`."""
        volume = self._catalog.find(check_name(name)) or self._sharing.look_up(name)
        if volume is None:
            now = self._catalog.find_former(name)
            raise NoSuchVolume(name, now.name if now else None)
        return volume

    def show(self, name: str) -> tuple[Volume, dict[str, str]]:
        """Return a volume and its status, also for a name that it had.

        Of an unknown name an engine says so in its own words; to a known one it sends the Mount, whose error is read.
        """
        former = None if self._catalog.find(name) else self._catalog.find_former(name)
        if former is not None:
            return former, {"renamed": f"this volume is {former.name!r} now, and cannot be mounted as {name!r}"}
        volume = self.get(name)
        if self.is_shared(volume):
            self._sharing.nudge()  # another host may have removed it; the next answer knows
        return volume, self.status(volume)

    def catch_up(self) -> None:
        """Learn what other hosts have made and removed, as far as that can be told in a moment."""
        self._sharing.freshen()

    def all(self) -> list[Volume]:
        """Return all volumes, by name."""
        return sorted(self._catalog.live(), key=attrgetter("name"))

    @property
    def changes(self) -> int:
        """Return a number that is another after each change of what `all` returns."""
        return self._catalog.changes

    def mountpoint(self, volume: Volume) -> str:
        """Return the directory that a container sees, by the engine's path of it; touches nothing."""
        return self._outlook.engine_path(self._directory(volume))

    def place(self, volume: Volume) -> str:
        """Return the same directory by the host's path of it, for people; touches nothing."""
        return self._outlook.host_path(self._directory(volume))

    def mount(self, name: str, mount_id: str) -> str:
        """Claim the volume for one more Mount and return its mountpoint."""
        self._check_mount_id(check_name(name), mount_id)
        with self._locks.hold(name):
            volume = self._sharing.current(self._readable(name, "mounted"))
            try:
                mountpoint = self._outlook.show(pool_of(self._pools, volume).attach(volume), name)
            except StorageFailed as error:
                self._ailing[volume.id] = str(error)
                raise
            self._ailing.pop(volume.id, None)
            claim = claims.after_mount(
                self._catalog.claim(name, mount_id), name, mount_id, self._catalog.generation, self._clock()
            )
            self._catalog.save_claim(claim)
        self._journal.debug("volume mounted", volume=name, mount_id=mount_id, count=claim.count)
        return mountpoint

    def unmount(self, name: str, mount_id: str) -> None:
        """Release one Mount; a success also without a claim or a volume (engine facts 9 and 37)."""
        self._check_mount_id(check_name(name), mount_id)
        with self._locks.hold(name):
            claim = self._catalog.claim(name, mount_id)
            if claim is None:
                return
            left = claims.after_unmount(claim, self._catalog.generation)
            if left is None:
                self._catalog.drop_claim(claim)
            else:
                self._catalog.save_claim(left)
            self._detach_unclaimed(name)
        self._journal.debug("volume unmounted", volume=name, mount_id=mount_id, count=left.count if left else 0)

    def remove(self, name: str, *, undoable: bool = False) -> None:
        """Remove the volume as its options say; a success when there is none (an engine's retry).

        An undoable removal goes into the trash, also where the options say that it is for good. It is no engine's, so
        that one may be about to use what it has just mounted: a claim is asked for too.
        """
        with self._locks.hold(check_name(name)):
            volume = self._catalog.find(name) or self._sharing.look_up(name)
            if volume is None:
                return
            volume = self._sharing.current(volume)
            if volume.spec.protect:
                raise VolumeProtected(
                    f"volume {name!r} is protected and stays: `pyvol set {name} protect=false` lifts that"
                )
            pool = pool_of(self._pools, volume)
            if undoable:
                self._refuse_claimed(volume)
            self._refuse_in_use(volume)
            if pool.is_attached(volume):
                pool.detach(volume)
            with pool.removing(volume):
                # With no directory there is nothing to keep.
                if (removal.goes_for_good(volume) and not undoable) or not pool.holds(volume):
                    self._discard(volume, pool)
                else:
                    self._trash(volume, pool)
            self._ailing.pop(volume.id, None)

    def detach_unclaimed(self) -> None:
        """Undo what an Unmount left: its detach failed, or pyvol was killed before it (engine fact 37)."""
        for volume_id in list(self._ailing):
            if self._catalog.find_id(volume_id) is None:  # another host has removed it
                self._ailing.pop(volume_id, None)
        for pool in self._pools.values():
            for name in pool.attached():
                if not self._catalog.claims(name):
                    # One that is busy keeps no other waiting, nor the trash: the next round looks again.
                    with suppress(Busy), self._locks.hold(name):
                        self._detach_unclaimed(name)

    def change(self, name: str, opts: Mapping[str, str], changes: Mapping[str, str | None] | None = None) -> Volume:
        """Change options and labels of a volume that exists; ownership takes effect at the next Mount."""
        with self._locks.hold(check_name(name)):
            volume = self._sharing.current(self._readable(name, "changed"))
            try:
                spec = options.change(volume.spec, opts, self._context)
                written = labels.change(volume.labels, changes or {})
            except BadOption as error:
                raise BadOption(f"volume {name!r}: {error}") from None
            changed = msgspec.structs.replace(volume, spec=spec, labels=written)
            pool = pool_of(self._pools, volume)
            pool.describe(changed)
            with taking_back(lambda: pool.describe(volume), name, self._journal):
                self._catalog.save(changed)
        self._journal.info("volume changed", volume=name, options=dict(opts), labels=labels.shown(written))
        return changed

    def status(self, volume: Volume) -> dict[str, str]:
        """Return what `docker volume inspect` shows beside the mountpoint: facts at hand, all of them strings."""
        held = self._catalog.claims(volume.name)
        stale = sum(claim.generation != self._catalog.generation for claim in held)
        return {
            "pool": volume.spec.pool,
            "path": self.place(volume),
            "options": " ".join(f"{key}={text}" for key, text in options.shown(volume.spec).items()) or "none",
            "claims": f"{len(held)}" + (f" ({stale} of an earlier engine)" if stale else ""),
            "health": self.health(volume),
            "usage": self._usages.says(volume),
            "on_remove": removal.says(volume, self._trash_keep),
            **({"labels": labels.shown(volume.labels)} if volume.labels else {}),
            **(self._pools[volume.spec.pool].report(volume) if volume.spec.pool in self._pools else {}),
        }

    def health(self, volume: Volume) -> str:
        """Return ``ok``, or what was last seen wrong; touches nothing."""
        if volume.phase is Phase.UNREADABLE:
            return "its descriptor cannot be read: see `pyvol doctor`"
        if volume.spec.pool not in self._pools:
            return f"its pool {volume.spec.pool!r} is not in the settings"
        return self._pools[volume.spec.pool].ailment(volume) or self._ailing.get(volume.id, "ok")

    def usage(self, volume: Volume) -> Usage | None:
        """Return what was last counted in the volume, live or in the trash."""
        return self._usages.of(volume)

    def is_shared(self, volume: Volume) -> bool:
        """Tell whether other hosts have the volume too."""
        return self._sharing.has(volume.spec.pool)

    @property
    def ailing(self) -> int:
        """Return how many volumes were last seen with something wrong."""
        return sum(self.health(volume) != "ok" for volume in self._catalog.live())

    def claim_count(self, volume: Volume) -> int:
        """Return how many mount IDs hold the volume."""
        return len(self._catalog.claims(volume.name))

    def claims(self) -> list[tuple[Claim, bool]]:
        """Return all claims, and of each whether it is stale: made in an earlier life of the engine."""
        generation = self._catalog.generation
        return [(claim, claim.generation != generation) for claim in self._catalog.claims()]

    def claims_elsewhere(self) -> Sequence[Holder]:
        """Return what other hosts have mounted of the pools that they share with this one; asks the servers."""
        return self._sharing.holders()

    def _directory(self, volume: Volume) -> str:
        pool = self._pools.get(volume.spec.pool)
        return pool.mountpoint(volume) if pool else (volume.spec.path or "")

    def _readable(self, name: str, done: str) -> Volume:
        volume = self.get(name)
        if volume.phase is Phase.UNREADABLE:
            raise StorageFailed(
                f"volume {name!r} is not {done}: its descriptor cannot be read; `pyvol doctor` says how to mend it"
            )
        return volume

    def _exists(self, name: str, spec: VolumeSpec) -> bool:
        existing = self._catalog.find(name)
        return existing is not None and existing.spec == spec

    def _parse(self, name: str, opts: Mapping[str, str] | None) -> VolumeSpec:
        asked = options.parse(opts, self._context)
        if asked.subdir is None:
            return asked
        return msgspec.structs.replace(asked, subdir=asked.subdir.replace("{name}", name))

    def _create(self, name: str, spec: VolumeSpec) -> None:
        existing = self._catalog.find(name)
        if existing is not None:
            self._refuse_other(existing, spec)
            return
        now = self._catalog.find_former(name)
        if now is not None:  # else who still has the old name would begin anew with an empty volume
            raise VolumeExists(
                f"volume {name!r} was renamed, and is {now.name!r} now: use that name, or take the renaming back with "
                f"`pyvol rename {now.name} {name}`"
            )
        volume = Volume(self._new_id(), name, spec, self._clock().replace(microsecond=0), Phase.READY)
        pool = pool_of(self._pools, volume)
        try:
            undo = pool.provision(volume)
        except NameTaken:
            found = self._sharing.take_in(spec.pool, name)
            if found is None:
                raise
            self._refuse_other(found, spec)  # another host was first
            return
        with taking_back(undo, name, self._journal):
            self._catalog.save(volume)
        self._journal.info("volume created", volume=name, pool=spec.pool, options=options.shown(spec))

    def _refuse_other(self, existing: Volume, spec: VolumeSpec) -> None:
        if existing.spec != spec:
            raise VolumeExists(
                f"volume {existing.name!r} exists with other options ({options.differences(existing.spec, spec)}): "
                "use it as it is, or choose another name"
            )

    def _refuse_claimed(self, volume: Volume) -> None:
        if any(claim.generation == self._catalog.generation for claim in self._catalog.claims(volume.name)):
            raise VolumeInUse(
                f"volume {volume.name!r} is claimed and stays: stop its containers first, see `pyvol claims`"
            )

    def _refuse_in_use(self, volume: Volume) -> None:
        users = self._mounts.users(self._directory(volume))
        if users:
            shown = ", ".join(f"{user.command} (pid {user.pid}) at {user.mountpoint}" for user in users[:3])
            raise VolumeInUse(
                f"volume {volume.name!r} is in use and stays: it is mounted by {shown}; stop the container first"
            )

    def _discard(self, volume: Volume, pool: Pool) -> None:
        with taking_back(pool.discard(volume), volume.name, self._journal):
            self._catalog.forget(volume)
        self._wake_reaper()
        self._journal.info("volume removed for good", volume=volume.name)

    def _trash(self, volume: Volume, pool: Pool) -> None:
        now = self._clock()  # to the microsecond: the latest of several removals is the one that undelete means
        until = None if volume.spec.on_remove is OnRemove.KEEP else now + self._trash_keep
        trashed = msgspec.structs.replace(volume, phase=Phase.TRASHED, removed=now, until=until)
        with taking_back(pool.to_trash(trashed), volume.name, self._journal):
            self._catalog.save(trashed)
        self._journal.info("volume removed into the trash", volume=volume.name, id=volume.id, until=until)

    def _detach_unclaimed(self, name: str) -> None:
        volume = self._catalog.find(name)
        if volume is None or self._catalog.claims(name):
            return
        try:
            pool = pool_of(self._pools, volume)
            # A claim can be lost; what the kernel says is in use is never detached (engine fact 40).
            if pool.is_attached(volume) and not self._mounts.users(self._directory(volume)):
                pool.detach(volume)
        except StorageFailed as error:
            # The claim is released all the same: an error would make the engine keep ID and count (engine fact 37).
            self._ailing[volume.id] = str(error)
            self._journal.warning("volume not detached", volume=name, error=str(error))

    def _check_mount_id(self, name: str, mount_id: str) -> None:
        if not 0 < len(mount_id) <= MAX_MOUNT_ID:
            raise BadRequest(
                f"volume {name!r}: the request has no mount ID of 1 to {MAX_MOUNT_ID} characters; an engine sends one"
            )
