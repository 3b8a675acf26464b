"""pyvol under systemd: the shipped units, with systemd as pid 1 of a guest."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .uml import Guest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.guest

TESTS = Path(__file__).resolve().parent.parent
UNITS = TESTS.parent / "packaging" / "systemd"
SOCKET = "/run/docker/plugins/pyvol.sock"
PYVOL = f"#!{sys.executable}\nfrom pyvol.cli.group import main\nmain()\n"
BAD_SETTING = 78
LONGEST_STOP_US = 10_000_000
"""On a slow guest, where a stop takes 1.4 s; much less than the 30 s that open requests would get."""
START_FD_STORE = (
    "from pyvol.host.processes.fd_store import FdStore as K; "
    "k = K('/run', None); k.keep(b'', [0]); print(k._process.pid)"
)
EXPOSURE_LIMIT = 50
"""The highest exposure that the units may reach, in tenths, for `systemd-analyze security --threshold`.

It would be 46 without NFS: pyvol connects to NFS servers over the network before it mounts.
"""


class Machine:
    """A guest with pyvol installed as `make install` does."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self.run = guest.run
        self.write("/opt/pyvol/bin/pyvol", PYVOL)
        self.run("chmod", "755", "/opt/pyvol/bin/pyvol")
        self.run("cp", UNITS / "pyvol.service", UNITS / "pyvol.socket", "/etc/systemd/system/")
        self.systemctl("daemon-reload")

    def reset(self) -> None:
        """Reset the machine for a test: the socket listens, and the service has not been started."""
        self.run("rm", "-rf", "/etc/pyvol", "/var/lib/pyvol")
        self.systemctl("stop", "pyvol.socket", "pyvol.service")
        self.systemctl("reset-failed")
        self.systemctl("start", "pyvol.socket")

    def systemctl(self, *words: str, check: bool = True) -> str:
        """Run systemctl and return what it printed."""
        return self.run("systemctl", *words, check=check).stdout.strip()

    def show(self, key: str, unit: str = "pyvol.service") -> str:
        """Return a property of a unit."""
        return self.systemctl("show", "--value", f"--property={key}", unit)

    def write(self, path: str, content: str) -> None:
        """Write a file."""
        self.run("sh", "-c", f"mkdir -p $(dirname {path}); cat > {path}", stdin=content)

    def stat(self, form: str, path: str) -> str:
        """Return the output of the command stat."""
        return self.run("stat", "-c", form, path).stdout.strip()

    def python(self, *words: str, stdin: str = "", check: bool = True) -> str:
        """Run the interpreter with the tests' modules on its path."""
        return self.run(sys.executable, *words, env={"PYTHONPATH": str(TESTS)}, stdin=stdin, check=check).stdout

    def call(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Call one of Docker's verbs as Docker does; raise AssertionError for an error."""
        script = f"""
import json
from guest.plugin_api import PluginApi
print(json.dumps(PluginApi({SOCKET!r}).call({verb!r}, **{fields!r})))
"""
        answer: dict[str, Any] = json.loads(self.python("-c", script))
        return answer

    def log(self) -> str:
        """Return the service's journal, as the message of a failing test."""
        return self.run("journalctl", "--no-pager", "--unit=pyvol.service").stdout


@pytest.fixture(scope="module")
def installed() -> Iterator[Machine]:
    """Yield one booted guest for all tests of this file."""
    with Guest(init="systemd") as guest:
        yield Machine(guest)


@pytest.fixture
def machine(installed: Machine) -> Machine:
    """Return the machine with its socket unit started."""
    installed.reset()
    return installed


def test_the_units_are_valid_and_hardened(machine: Machine) -> None:
    """The units are valid, start before Docker (engine fact 34), and expose no more than mounts require."""
    units = ("pyvol.service", "pyvol.socket")
    verified = machine.run("systemd-analyze", "verify", *(f"/etc/systemd/system/{unit}" for unit in units))
    assert verified.stdout + verified.stderr == ""
    for unit in units:
        assert "docker.service" in machine.show("Before", unit).split()
    machine.run("systemd-analyze", "security", f"--threshold={EXPOSURE_LIMIT}", "pyvol.service")


def test_the_first_request_starts_the_service(machine: Machine) -> None:
    """With only the socket unit started, a request starts the service, which answers it (engine fact 34)."""
    assert machine.systemctl("is-active", "pyvol.service", check=False) == "inactive"
    assert machine.stat("%a %U:%G", SOCKET) == "600 root:root"
    assert machine.stat("%a %U:%G", "/run/docker/plugins") == "700 root:root"
    assert machine.call("List") == {"Volumes": [], "Err": ""}
    assert machine.systemctl("is-active", "pyvol.service") == "active"
    assert machine.stat("%a %U:%G", SOCKET) == "600 root:root"


def test_the_hardened_service_does_its_work(machine: Machine) -> None:
    """The unit's hardening permits what owners, modes, other users' files and mounts need."""
    machine.call("Create", Name="plain", Opts=None)
    assert machine.stat("%a %u:%g", "/var/lib/pyvol/volumes/plain/_data") == "755 0:0"
    options = {"uid": "1000", "gid": "1001", "mode": "2770", "on_remove": "delete"}
    machine.call("Create", Name="v", Opts=options)
    mountpoint = machine.call("Mount", Name="v", ID="x")["Mountpoint"]
    assert machine.stat("%a %u:%g", mountpoint) == "2770 1000:1001"

    # A container's process: another user, in another mount namespace (engine fact 32).
    container = f"""
        umask 277; mount --bind {mountpoint} /mnt
        exec setpriv --reuid 1000 --clear-groups sh -c 'mkdir -p /mnt/own/deep; exec sleep 300'
    """
    machine.run(
        "sh", "-c", 'unshare --mount sh -c "$CONTAINER" >/dev/null 2>&1 & echo $! >/run/c', env={"CONTAINER": container}
    )
    machine.run("sh", "-c", f"until [ -d {mountpoint}/own ]; do sleep 0.1; done")
    with pytest.raises(AssertionError, match="cannot be removed"):
        machine.call("Remove", Name="v")
    machine.run("sh", "-c", "kill $(cat /run/c); while [ -d /proc/$(cat /run/c) ]; do sleep 0.1; done")
    machine.call("Remove", Name="v")
    machine.run("sh", "-c", 'while [ -n "$(ls /var/lib/pyvol/staging)" ]; do sleep 0.1; done')

    # The service's mounts would be the host's: the service does not have its own mount namespace.
    namespaces = [machine.run("readlink", f"/proc/{pid}/ns/mnt").stdout for pid in ("1", machine.show("MainPID"))]
    assert namespaces[0] == namespaces[1]


def test_a_restart_loses_no_request(machine: Machine) -> None:
    """No request is lost while pyvol restarts under a stream of requests (engine fact 21)."""
    machine.call("Capabilities")
    before = machine.stat("%i", SOCKET), machine.show("MainPID")
    restart = "for round in 1 2; do systemctl restart pyvol.service || exit; done"
    seen = json.loads(machine.python("-m", "guest.stream", SOCKET, "sh", "-c", restart))
    assert seen["lost"] == [], machine.log()
    assert seen["code"] == 0
    after = machine.stat("%i", SOCKET), machine.show("MainPID")
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert machine.call("List")["Volumes"] == []


def test_an_idle_service_stops_at_once(machine: Machine) -> None:
    """An idle service stops at once on `systemctl stop`, and the socket unit starts it again."""
    machine.call("Capabilities")
    inode = machine.stat("%i", SOCKET)
    machine.systemctl("stop", "pyvol.service")
    assert machine.show("Result") == "success"
    asked, ended = (machine.show(f"{moment}TimestampMonotonic") for moment in ("ActiveExit", "InactiveEnter"))
    assert int(ended) - int(asked) < LONGEST_STOP_US
    assert machine.stat("%i", SOCKET) == inode
    assert machine.call("List")["Err"] == ""


def test_a_killed_daemon_comes_back(machine: Machine) -> None:
    """After `kill -9` of the main process systemd starts another daemon, for which requests wait.

    The process that keeps the locks of NFS pools for the next daemon stays.
    """
    machine.call("Create", Name="v", Opts=None)
    pids = machine.run("cat", "/sys/fs/cgroup/system.slice/pyvol.service/cgroup.procs").stdout.split()
    assert len(pids) == 2
    join = "sleep 600 >/dev/null 2>&1 & echo $! >/sys/fs/cgroup/system.slice/pyvol.service/cgroup.procs; echo $!"
    fd_store = machine.run("sh", "-c", join).stdout.strip()
    machine.run("kill", "-9", machine.show("MainPID"))
    assert [volume["Name"] for volume in machine.call("List")["Volumes"]] == ["v"]
    assert machine.show("NRestarts") == "1"
    running = machine.run("cat", "/sys/fs/cgroup/system.slice/pyvol.service/cgroup.procs").stdout.split()
    assert not set(pids) & set(running)
    assert fd_store in running
    machine.run("kill", fd_store)


def test_a_bad_setting_stops_the_service(machine: Machine) -> None:
    """A bad setting gives one error and exit status 78, and systemd and requests do not retry forever."""
    machine.write("/etc/pyvol/pyvol.toml", 'sope = "local"\n')
    machine.systemctl("start", "pyvol.service", check=False)
    assert machine.systemctl("is-active", "pyvol.service", check=False) == "failed"
    assert machine.show("ExecMainStatus") == str(BAD_SETTING)
    assert machine.show("NRestarts") == "0"
    assert "'sope'" in machine.log()
    found = json.loads(machine.run("/opt/pyvol/bin/pyvol", "doctor", "--json", check=False).stdout)
    (unit,) = [finding for finding in found if finding["check"] == "unit pyvol.service"]
    assert not unit["well"]
    assert "`journalctl -u pyvol.service` says why" in unit["hint"]

    machine.write("/run/systemd/system/pyvol.socket.d/sooner.conf", "[Socket]\nTriggerLimitBurst=2\n")
    machine.systemctl("daemon-reload")
    with pytest.raises(AssertionError):
        machine.call("List")
    assert machine.show("Result", "pyvol.socket") == "trigger-limit-hit"

    machine.run("rm", "-r", "/etc/pyvol", "/run/systemd/system/pyvol.socket.d")
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", "pyvol.socket", "pyvol.service")
    assert machine.call("List")["Err"] == ""


# The last test: it removes files that the others need.
def test_uninstall_ends_all_processes(machine: Machine) -> None:
    """`make uninstall` ends the process that keeps locks for the next daemon, and says what that means."""
    machine.systemctl("stop", "pyvol.socket", "pyvol.service")
    python = "/opt/pyvol/releases/1/bin/python"
    machine.run("sh", "-c", f"mkdir -p $(dirname {python}) && ln -s {sys.executable} {python}")
    pid = machine.run(python, "-c", START_FD_STORE, env={"PYTHONPATH": ":".join(filter(None, sys.path))}).stdout.strip()
    assert "pyvol.host.processes.fd_store_server" in machine.run("cat", f"/proc/{pid}/cmdline").stdout
    said = machine.run(TESTS.parent / "scripts" / "uninstall").stdout
    assert "other hosts may now mount" in said
    machine.run("sh", "-c", f"while [ -d /proc/{pid} ]; do sleep 0.1; done")
    machine.run("sh", "-c", "[ ! -e /opt/pyvol ]")
