"""Check the daemon from inside: its catalog, its claims, its pools.

`pyvol doctor` adds checks from outside.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pyvol.core.concurrency.circuit_breaker import BACK
from pyvol.core.errors import StorageFailed
from pyvol.core.model.volume import Phase, Volume, in_pool
from pyvol.core.ports.host import Catalog, MountTable
from pyvol.core.ports.pool import Pool, PoolListing
from pyvol.core.status.hints import Hints


class Finding(msgspec.Struct, frozen=True):
    """The result of one check.

    Attributes:
        check: what was checked.
        well: whether it is as it should be.
        summary: what was found; never empty.
        hint: what to do about it, if `well` is false.
    """

    check: str
    well: bool
    summary: str
    hint: str = ""


class Doctor:
    """Compares the catalog with the pools.

    Args:
        catalog: the volumes and the claims.
        pools: by name.
        min_free_percent: below this much free space, pyvol deletes volumes from the trash early.
        mounts: the kernel's mount table.
        stuck: by volume id, why pyvol could not purge the volume.
        hints: the parts of hints that depend on how pyvol is installed.
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
        """Return the results of all checks. Touches storage, so it takes as long as storage takes."""
        findings = [*self._records(), *self._claims(), self._sight()]
        for pool in self._pools.values():
            condition = pool.condition()
            findings += [
                Finding(
                    f"pool {pool.name}: {found.what}",
                    found.well,
                    found.summary,
                    "" if found.well else found.hint or BACK,
                )
                for found in condition
            ]
            if pool.traits.reports_outages and not all(found.well for found in condition):
                continue  # its directories cannot be read
            try:
                findings += self._pool(pool)
            except StorageFailed as error:
                hint = (
                    (error.hint or BACK)
                    if pool.traits.reports_outages
                    else f"mount its disk, then {self._hints.restart}"
                )
                findings.append(Finding(f"pool {pool.name}", False, error.summary, hint))
        return findings

    def _records(self) -> Iterator[Finding]:
        aside = self._catalog.put_aside()
        yield Finding(
            "catalog",
            not aside,
            f"{len(aside)} records cannot be read and were set aside: {'; '.join(aside)}" if aside else "readable",
            "at its next start pyvol adds the rows again from volume.json; look at the files that were set aside, "
            "then delete them"
            if aside
            else "",
        )
        strays = sorted(v.name for v in self._catalog.live() if v.spec.pool not in self._pools)
        if strays:
            yield Finding(
                "pools",
                False,
                f"volumes whose pool is not in the settings: {', '.join(strays)}",
                self._hints.pool_back,
            )

    def _claims(self) -> Iterator[Finding]:
        stale = [c for c in self._catalog.claims() if c.generation != self._catalog.generation]
        summary = f"{len(stale)} of an earlier generation of the engine" if stale else "none is stale"
        # A stale claim prevents no removal, and a live-restored container has one rightfully.
        yield Finding("claims", True, summary)

    def _sight(self) -> Finding:
        if not self._mounts.sees_host():
            summary = "pyvol cannot see the host's processes, so a volume that a container uses could be removed"
            return Finding("mount namespaces", False, summary, self._hints.sight)
        unseen = self._mounts.unseen()
        if not unseen:
            return Finding("mount namespaces", True, "all can be read")
        summary = f"pyvol cannot read the mounts of {len(unseen)} processes, so a volume that they use could be removed"
        return Finding("mount namespaces", False, summary, self._hints.privileges)

    def _pool(self, pool: Pool) -> Iterator[Finding]:
        check, restart = f"pool {pool.name}", self._hints.restart
        listing = pool.listing()
        live = {volume.name: volume for volume in self._catalog.live() if volume.spec.pool == pool.name}
        yield _listing(
            f"{check}: directories",
            sorted(live.keys() - listing.live),
            "volumes without a directory",
            "bring the directories back or mount their disk; or remove the volumes",
        )
        yield _listing(
            f"{check}: records",
            sorted(listing.live - live.keys()),
            "directories that are not in the catalog",
            "the log says why: rename them, fix their volume.json, or move them away"
            if not pool.traits.adopts
            else "add them with `pyvol adopt`; or move them away",
        )
        yield _listing(
            f"{check}: manifests",
            sorted(self._unreadable(pool, [name for name in live if name in listing.live])),
            "volumes with a wrong or unreadable volume.json",
            f"fix volume.json and {restart}; or remove the volume, which keeps its data in the trash",
        )
        yield _listing(
            f"{check}: trash",
            sorted(self._lost_trash(pool, listing)),
            "removed volumes whose directory or volume.json is missing or unreadable",
            f"bring the directories back and {restart}, or delete them by hand",
        )
        yield _listing(
            f"{check}: half-done work",
            sorted(why for volume_id, why in self._stuck.items() if volume_id in listing.pending_deletion),
            "removed volumes that pyvol cannot purge",
            "do what each line says; pyvol tries again every minute",
        )
        space = pool.space()
        well = space.free_percent >= self._min_free_percent
        yield Finding(
            f"{check}: room",
            well,
            f"{space.summary} ({space.free_percent:.0f} %)",
            "" if well else f"make room: below {self._min_free_percent:g} % pyvol deletes volumes from the trash early",
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
                        "it cannot be mounted until the file is fixed"
                        if unreadable
                        else "the catalog has its options: `pyvol set` writes the file again"
                    )
                    yield f"{name} ({what})"
            else:
                if volume is None or volume.phase is Phase.UNREADABLE:
                    continue
                if found.id != volume.id:
                    yield f"{name} (another volume was copied over this one: check whose files are there)"
                elif _differ(found, volume):
                    yield f"{name} (the file has other options than the catalog: `pyvol set` writes it again)"


def _differ(found: Volume, volume: Volume) -> bool:
    return in_pool(found, volume.spec.pool).spec != volume.spec


def _listing(check: str, names: Sequence[str], what: str, hint: str) -> Finding:
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")  # noqa: PLR2004
    return Finding(check, not names, f"{what}: {shown}" if names else "in order", hint if names else "")
