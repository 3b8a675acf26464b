"""What the daemon's checks find, and the hint that comes with each finding."""

from pathlib import Path

from fakes import FakePool
from house import House
from pyvol.core.ports.pool import REMOTE, Condition
from pyvol.core.status.doctor import Finding
from pyvol.core.status.hints import PLUGIN


def problems_of(house: House) -> dict[str, Finding]:
    """Return the findings that report a problem, by check."""
    return {finding.check: finding for finding in house.doctor.examine() if not finding.well}


def test_a_healthy_daemon_has_no_problems(house: House) -> None:
    """Nothing is found where nothing is wrong."""
    house.volumes.create("v", None)
    assert problems_of(house) == {}


def test_a_pool_that_cannot_be_read_is_named(scratch: Path) -> None:
    """Its disk may not be mounted; volumes of pools that left the settings are named too."""
    pool = FakePool()
    house = House(scratch, pools={"default": pool, "fast": FakePool("fast")})
    house.volumes.create("v", {"pool": "fast"})
    del house.pools["fast"]
    pool.failing["listing"] = "pool 'default': no such directory"
    found = problems_of(house)
    assert "no such directory" in found["pool default"].summary
    assert found["pools"].summary.endswith("not in the settings: v")
    house.close()


def test_checks_that_need_a_server_are_skipped_while_it_is_down(scratch: Path) -> None:
    """The doctor reports an NFS pool's server and mount; while one has a problem, it skips what needs it."""
    pool = FakePool()
    pool.traits = REMOTE
    pool.facts = [Condition("server", "nas.lan answers"), Condition("mount", "nas.lan:/pool nfs4 (rw,vers=4.2)")]
    house = House(scratch, pools={"default": pool})
    summary = {finding.check: finding.summary for finding in house.doctor.examine() if finding.well}
    assert summary["pool default: mount"] == "nas.lan:/pool nfs4 (rw,vers=4.2)"
    assert summary["pool default: trash"] == "in order"
    pool.facts[0] = Condition("server", "nas.lan does not answer (since 12:04:31 UTC)", well=False)
    found = problems_of(house)
    assert list(found) == ["pool default: server"]
    assert "continues by itself" in found["pool default: server"].hint
    pool.facts = [Condition("mount", "there is no mount.nfs", well=False, hint="install it")]
    assert problems_of(house)["pool default: mount"].hint == "install it"
    pool.facts = []
    pool.failing["listing"] = "pool 'default': the server refuses it"
    assert "bring the server" in problems_of(house)["pool default"].hint
    house.close()


def test_processes_that_cannot_be_looked_into_are_counted(house: House) -> None:
    """Without CAP_SYS_PTRACE a volume in use would look free (fact 32)."""
    house.kernel.hidden = ["1000"]
    assert "CAP_SYS_PTRACE" in problems_of(house)["mount namespaces"].hint


def test_manifests_are_read_and_compared(house: House) -> None:
    """The doctor reports a manifest that cannot be read, and one whose options differ from the catalog's."""
    house.volumes.create("broken", None)
    house.volumes.create("old", {"mode": "0700"})
    (house.root / "pool/volumes/broken/volume.json").write_text("nonsense")
    old = house.root / "pool/volumes/old/volume.json"
    old.write_text(old.read_text().replace("448", "493"))
    summary = problems_of(house)["pool default: manifests"].summary
    assert "broken" in summary
    assert "old (the file has other options than the catalog" in summary


def test_hints_for_a_managed_plugin_name_docker_commands(scratch: Path) -> None:
    """The hints for restart, settings and privileges name docker commands, not units or files of the host."""
    house = House(scratch, pools={"default": FakePool(), "nfs": FakePool("nfs")}, hints=PLUGIN)
    house.volumes.create("v", {"pool": "nfs"})
    del house.pools["nfs"]
    house.pools["default"].failing["listing"] = "pool 'default': no such directory"  # type: ignore[attr-defined]
    house.kernel.hidden = ["1000"]
    found = problems_of(house)
    assert "docker plugin set" in found["pools"].hint
    assert "docker plugin enable" in found["pool default"].hint
    assert "pidhost" in found["mount namespaces"].hint
    assert not [finding.hint for finding in found.values() if "toml" in finding.hint or "restart pyvol" in finding.hint]
    house.close()
