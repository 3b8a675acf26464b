"""What the daemon itself can tell of its health; the CLI adds what is seen from outside."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pyvol.core.concurrency.circuit_breaker import BACK
from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import Phase, Volume, in_pool
from pyvol.core.ports.host import Catalog, MountTable
from pyvol.core.ports.pool import Pool, PoolListing
from pyvol.core.status.hints import Hints


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at; `hint` says what to do where it is not well."""

    check: str
    well: bool
    summary: str
    hint: str = ""


class Doctor:
    """Compares what is known with what is there.

    Args:
        catalog: what exists and what is promised.
        pools: by name.
        min_free_percent: the room under which trash goes before its time.
        mounts: what the kernel says is mounted.
        stuck: by id, why what was discarded could not be deleted.
        hints: how hints name what a user does to this pyvol.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each port by its name
        self,
        *,
        catalog: Catalog,
        pools: Mapping[str, Pool],
        min_free_percent: float,
        mounts: MountTable,
        stuck: Mapping[str, str],
        hints: Hints,
    ) -> None:
        self._stuck = stuck
        self._hints = hints
        self._catalog = catalog
        self._mounts = mounts
        self._pools = pools
        self._min_free_percent = min_free_percent

    def examine(self) -> list[Finding]:
        """Look at everything; touches storage, so it takes what storage takes."""
        findings = [*self._records(), *self._claims(), self._sight()]
        for pool in self._pools.values():
            condition = pool.condition()
            findings += [
                Finding(
                    f"pool {pool.name}: {fact.what}",
                    fact.well,
                    fact.summary,
                    "" if fact.well else fact.hint or BACK,
                )
                for fact in condition
            ]
            if pool.traits.reports_outages and not all(fact.well for fact in condition):
                continue  # what is there can't be seen
            try:
                findings += self._pool(pool)
            except StorageFailed as error:
                hint = BACK if pool.traits.reports_outages else f"mount its disk, then {self._hints.restart}"
                findings.append(Finding(f"pool {pool.name}", False, str(error), hint))
        return findings

    def _records(self) -> Iterator[Finding]:
        aside = self._catalog.put_aside()
        yield Finding(
            "catalog",
            not aside,
            f"{len(aside)} records could not be read and were put aside: {'; '.join(aside)}" if aside else "readable",
            "rows are taken in again from the descriptors at the next start; a file is yours to look at and delete"
            if aside
            else "",
        )
        strays = sorted(v.name for v in self._catalog.live() if v.spec.pool not in self._pools)
        if strays:
            yield Finding(
                "pools",
                False,
                f"the pools of these volumes are not in the settings: {', '.join(strays)}",
                self._hints.pool_back,
            )

    def _claims(self) -> Iterator[Finding]:
        stale = [c for c in self._catalog.claims() if c.generation != self._catalog.generation]
        summary = f"{len(stale)} of an earlier life of the engine" if stale else "none is stale"
        # Stale claims keep nothing from being removed, and live-restored containers have them rightly.
        yield Finding("claims", True, summary)

    def _sight(self) -> Finding:
        if not self._mounts.sees_host():
            summary = "the host's processes cannot be seen, so a volume that a container uses could be removed"
            return Finding("mount namespaces", False, summary, self._hints.sight)
        unseen = self._mounts.unseen()
        if not unseen:
            return Finding("mount namespaces", True, "all can be looked into")
        summary = f"{len(unseen)} processes cannot be looked into, so a volume that they use could be removed"
        return Finding("mount namespaces", False, summary, self._hints.privileges)

    def _pool(self, pool: Pool) -> Iterator[Finding]:
        check, restart = f"pool {pool.name}", self._hints.restart
        listing = pool.listing()
        live = {volume.name: volume for volume in self._catalog.live() if volume.spec.pool == pool.name}
        yield _listing(
            f"{check}: directories",
            sorted(live.keys() - listing.live),
            "volumes without their directory",
            "bring the directories back or mount their disk; or remove the volumes",
        )
        yield _listing(
            f"{check}: records",
            sorted(listing.live - live.keys()),
            "directories without a record",
            "the log says why they were left alone: give them other names, mend their volume.json, or move them away"
            if not pool.traits.adopts
            else "`pyvol adopt` takes them in; or move them away",
        )
        yield _listing(
            f"{check}: descriptors",
            sorted(self._unreadable(pool, [name for name in live if name in listing.live])),
            "volumes whose descriptor cannot be read",
            f"mend their volume.json and {restart}; or remove the volume, which keeps its data in the trash",
        )
        yield _listing(
            f"{check}: trash",
            sorted(self._lost_trash(pool, listing)),
            "removed volumes whose directory or descriptor is missing or unreadable",
            f"bring the directories back and {restart}, or delete them by hand",
        )
        yield _listing(
            f"{check}: half-done work",
            sorted(why for volume_id, why in self._stuck.items() if volume_id in listing.pending_deletion),
            "removed volumes cannot be deleted",
            "see to what each line says; pyvol tries again every minute",
        )
        space = pool.space()
        well = space.free_percent >= self._min_free_percent
        yield Finding(
            f"{check}: room",
            well,
            f"{space.summary} ({space.free_percent:.0f} %)",
            "" if well else f"under {self._min_free_percent:g} % the trash goes before its time: make room",
        )

    def _lost_trash(self, pool: Pool, listing: PoolListing) -> Iterator[str]:
        known = {volume.id: volume.name for volume in self._catalog.trashed() if volume.spec.pool == pool.name}
        yield from (f"{name} ({volume_id})" for volume_id, name in known.items() if volume_id not in listing.trashed)
        yield from listing.trashed - known.keys()

    def _unreadable(self, pool: Pool, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            volume = self._catalog.find(name)
            try:
                found = pool.read_live(name)
            except StorageFailed:
                if volume is not None:
                    unreadable = volume.phase is Phase.UNREADABLE
                    what = (
                        "not mounted until mended" if unreadable else "the catalog has it: `pyvol set` writes it anew"
                    )
                    yield f"{name} ({what})"
            else:
                if volume is None or volume.phase is Phase.UNREADABLE:
                    continue
                if found.id != volume.id:
                    yield f"{name} (it is another volume's, copied over this one: see whose files are there)"
                elif _differ(found, volume):
                    yield f"{name} (its options are not those in force: `pyvol set` writes it anew)"


def _differ(found: Volume, volume: Volume) -> bool:
    return in_pool(found, volume.spec.pool).spec != volume.spec


def _listing(check: str, names: Sequence[str], what: str, hint: str) -> Finding:
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")  # noqa: PLR2004
    return Finding(check, not names, f"{what}: {shown}" if names else "in order", hint if names else "")
