"""Claims: what engines' Mounts and Unmounts leave behind."""

from datetime import UTC, datetime

from house import House
from pyvol.core.lifecycle.claims import after_mount, after_unmount
from pyvol.core.model.volume import Claim

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def counts(house: House) -> dict[str, int]:
    """Return how often each mount ID has a volume mounted."""
    return {claim.mount_id: claim.count for claim, _ in house.volume_status.claims()}


def test_the_same_id_counts_up_and_down(house: House) -> None:
    """`docker cp` mounts and unmounts under the running container's ID, whose claim stays (fact 7)."""
    house.volumes.create("v", None)
    house.volumes.mount("v", "container")
    house.volumes.mount("v", "container")
    house.volumes.unmount("v", "container")
    assert counts(house) == {"container": 1}
    house.volumes.unmount("v", "container")
    assert counts(house) == {}


def test_a_new_generation_replaces_the_old_claim_of_an_id() -> None:
    """After kill -9 of dockerd a restarted container mounts under its old ID and unmounts once (fact 8)."""
    old = Claim("v", "id", generation=1, count=3, since=NOW)
    claim = after_mount(old, "v", "id", 2, NOW)
    assert (claim.generation, claim.count) == (2, 1)
    assert after_unmount(claim, 2) is None


def test_one_unmount_releases_a_claim_of_an_older_generation_whole() -> None:
    """A live-restored container unmounts once, whatever was counted in the life before (facts 8 and 9)."""
    assert after_unmount(Claim("v", "id", generation=1, count=2, since=NOW), 2) is None


def test_unmount_without_a_claim_or_a_volume_is_a_success(house: House) -> None:
    """Engines repeat Unmounts, and send them for what is long gone (fact 9)."""
    house.volumes.create("v", None)
    house.volumes.unmount("v", "never-mounted")
    house.volumes.unmount("no-such-volume", "id")
    assert counts(house) == {}


def test_activate_releases_nothing(house: House) -> None:
    """Any engine may send Activate at any time; claims stay, marked stale (fact 10)."""
    house.volumes.create("v", None)
    house.volumes.mount("v", "id")
    house.volumes.activate()
    assert [(claim.mount_id, stale) for claim, stale in house.volume_status.claims()] == [("id", True)]


def test_podmans_constant_id_is_one_claim_a_volume(house: House) -> None:
    """Podman has one ID for all, sends Activate before most calls, and unmounts once a volume (fact 16)."""
    for name in ("v", "w"):
        house.volumes.activate()
        house.volumes.create(name, None)
        house.volumes.activate()
        house.volumes.mount(name, "podman")
    house.volumes.activate()
    house.volumes.unmount("v", "podman")
    assert [claim.volume for claim, _ in house.volume_status.claims()] == ["w"]


def test_claims_outlive_the_daemon_and_not_the_boot(house: House) -> None:
    """A restart of pyvol keeps every claim; after a reboot no container is left that could hold one."""
    house.volumes.create("v", None)
    house.volumes.mount("v", "id")
    again = house.reopened()
    assert counts(again) == {"id": 1}
    rebooted = again.reopened(boot="boot-2")
    assert counts(rebooted) == {}
    assert rebooted.catalog.repairs == ["1 claims of an earlier boot dropped"]
    rebooted.close()


def test_generations_go_on_after_a_restart(house: House) -> None:
    """A claim of the engine's life before the last Activate stays stale when pyvol restarts."""
    house.volumes.create("v", None)
    house.volumes.mount("v", "id")
    house.volumes.activate()
    again = house.reopened()
    assert [stale for _, stale in again.volume_status.claims()] == [True]
    again.close()
