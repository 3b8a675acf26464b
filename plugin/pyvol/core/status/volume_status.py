"""Volumes as people see them: status, health, claims. It comes from memory and never waits for storage."""

from collections.abc import Mapping
from datetime import timedelta

from pyvol.core.errors import VolumeInUse, VolumeProtected
from pyvol.core.lifecycle import removal
from pyvol.core.lifecycle.pool_lookup import mountpoint_of
from pyvol.core.lifecycle.shared_pools import ForeignClaims, SharedPools
from pyvol.core.lifecycle.volumes import Volumes
from pyvol.core.model import labels, options
from pyvol.core.model.volume import Claim, Phase, Volume
from pyvol.core.ports.host import Catalog, PathMapping
from pyvol.core.ports.pool import Pool
from pyvol.core.status.usage import Usage, Usages


class VolumeStatus:
    """Reports on the volumes of this host.

    Args:
        volumes: the volumes.
        degraded: by id, the last problem of a volume.
        catalog: what exists and what is promised.
        pools: by name.
        path_mapping: the engine's and the host's paths of pyvol's directories.
        usages: the counted disk space of volumes.
        shared_pools: the pools that other hosts share.
        trash_keep: how long a removed volume can be undeleted.
    """

    def __init__(  # noqa: PLR0913  # the composition root hands over each port by its name
        self,
        *,
        volumes: Volumes,
        degraded: Mapping[str, str],
        catalog: Catalog,
        pools: Mapping[str, Pool],
        path_mapping: PathMapping,
        usages: Usages,
        shared_pools: SharedPools,
        trash_keep: timedelta,
    ) -> None:
        self._volumes = volumes
        self._degraded = degraded
        self._catalog = catalog
        self._pools = pools
        self._path_mapping = path_mapping
        self._usages = usages
        self._shared_pools = shared_pools
        self._trash_keep = trash_keep

    def find(self, name: str) -> tuple[Volume, dict[str, str]]:
        """Return a volume and its status; a former name finds the volume too.

        For an unknown name the engine prints its own words. For a known name it sends the Mount, and prints
        its error.
        """
        volume = self._catalog.find(name)  # once: another request may rename it
        former = None if volume else self._catalog.find_former(name)
        if former is not None:
            return former, {"renamed": f"this volume is {former.name!r} now, and cannot be mounted as {name!r}"}
        volume = volume or self._volumes.get(name)
        if self.is_shared(volume):
            self._shared_pools.request_refresh()  # another host may have removed it; the next answer knows
        return volume, self.status(volume)

    def place(self, volume: Volume) -> str:
        """Return the host's path of the directory that a container sees; does no I/O."""
        return self._path_mapping.host_path(mountpoint_of(self._pools, volume))

    def status(self, volume: Volume) -> dict[str, str]:
        """Return what `docker volume inspect` shows as Status: facts from memory, all of them strings."""
        held = self._catalog.claims(volume.name)
        stale = sum(claim.generation != self._catalog.generation for claim in held)
        return {
            "pool": volume.spec.pool,
            "path": self.place(volume),
            "options": " ".join(f"{key}={text}" for key, text in options.shown(volume.spec).items()) or "none",
            "claims": f"{len(held)}" + (f" ({stale} of an earlier engine)" if stale else ""),
            "health": self.health(volume),
            "usage": self._usages.summary(volume),
            "on_remove": self.on_remove(volume),
            **({"labels": labels.shown(volume.labels)} if volume.labels else {}),
            **(self._pools[volume.spec.pool].report(volume) if volume.spec.pool in self._pools else {}),
        }

    def health(self, volume: Volume) -> str:
        """Return ``ok``, or the last known problem; does no I/O."""
        if volume.phase is Phase.UNREADABLE:
            return "its volume.json cannot be read: see `pyvol doctor`"
        if volume.spec.pool not in self._pools:
            return f"its pool {volume.spec.pool!r} is not in the settings"
        return self._pools[volume.spec.pool].problem(volume) or self._degraded.get(volume.id, "ok")

    def on_remove(self, volume: Volume) -> str:
        """Return what a removal of the volume would do."""
        return removal.summary(volume, self._trash_keep)

    def usage(self, volume: Volume) -> Usage | None:
        """Return the last count of a volume, live or in the trash."""
        return self._usages.of(volume)

    def is_shared(self, volume: Volume) -> bool:
        """Return whether other hosts share the volume."""
        return self._shared_pools.has(volume.spec.pool)

    def count_degraded(self) -> int:
        """Return how many volumes have a known problem."""
        return sum(self.health(volume) != "ok" for volume in self._catalog.live())

    def claim_count(self, volume: Volume) -> int:
        """Return how many mount IDs hold the volume."""
        return len(self._catalog.claims(volume.name))

    def claims(self) -> list[tuple[Claim, bool]]:
        """Return all claims, each with whether it is stale: of an earlier generation."""
        generation = self._catalog.generation
        return [(claim, claim.generation != generation) for claim in self._catalog.claims()]

    def refusal(self, volume: Volume) -> str:
        """Return why pyvol would refuse to move a volume to the trash; empty if it would not. Does no I/O."""
        try:
            removal.refuse_protected(volume)
            removal.refuse_claimed(volume, self._catalog.claims(volume.name), self._catalog.generation)
        except (VolumeProtected, VolumeInUse) as error:
            return str(error)
        return ""

    def foreign_claims(self) -> ForeignClaims:
        """Return what other hosts have mounted from shared pools; asks the servers."""
        return self._shared_pools.holders()
