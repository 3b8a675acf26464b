"""A dead server affects only its own volumes: they are refused quickly, and work again without a restart."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from deadline import await_true
from guest.wire import Refused

from .daemon import Daemon
from .hosts import Host
from .server import NfsServer

pytestmark = pytest.mark.guest

POOLS = """
[pools.nas]
kind = "nfs"
export = "nas.lan:/export/main"
[pools.nas2]
kind = "nfs"
export = "nas2.lan:/export/second"
options = "vers=3"
"""
# With version 4 a client notices that both are one server, and continues with the address that answers.

UNHARMED_S = 2.0
"""Shorter than any network deadline, longer than a slow guest needs."""
REFUSED_WITHIN_S = 5.0
GUEST_S = 2.0
"""The additional time that a guest needs, with a dozen processes on its one processor."""


class Death(NamedTuple):
    """How a server dies, and how it comes back."""

    die: Callable[[NfsServer, Host], None]
    live: Callable[[NfsServer, Host], None]


DEATHS = {
    "stopped": Death(lambda server, _: server.stop(), lambda server, _: server.start()),
    "silent": Death(lambda server, _: server.vanish("nas.lan"), lambda server, _: server.appear("nas.lan")),
    "unplugged": Death(lambda _, host: host.cut(), lambda _, host: host.plug()),
}


@pytest.fixture(scope="module")
def daemon(find_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Yield pyvol with a local pool and two pools on two names of the server, for all tests of this file."""
    made = Daemon(find_host("one"), tmp_path_factory.mktemp("pyvol"))
    made.configure(POOLS)
    made.start()
    yield made
    made.end()


@pytest.fixture
def pyvol(nas: Daemon) -> Daemon:
    """Return pyvol without volumes."""
    return nas


def timed(act: Callable[[], object]) -> float:
    """Return the seconds that a call took."""
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def live_a_life(pyvol: Daemon, name: str, **options: str) -> None:
    """Use a volume with every verb, and check that no verb waits for another server."""
    verbs: dict[str, Callable[[], object]] = {
        "Create": lambda: pyvol.create(name, **options),
        "Get": lambda: pyvol.get(name),
        "Mount": lambda: pyvol.mount(name),
        "Path": lambda: pyvol.wire.call("Path", Name=name),
        "List": pyvol.names,
        "Unmount": lambda: pyvol.unmount(name),
        "Remove": lambda: pyvol.remove(name),
    }
    taken = {verb: timed(act) for verb, act in verbs.items()}
    assert max(taken.values()) < UNHARMED_S, taken


def refusal(pyvol: Daemon, name: str) -> str:
    """Return the error of a volume that can't be mounted; it must come in time."""
    begun = time.monotonic()
    with pytest.raises(Refused) as refused:
        pyvol.mount(name, "new")
    assert time.monotonic() - begun < REFUSED_WITHIN_S + GUEST_S
    return str(refused.value)


def stuck(host: Host) -> list[str]:
    """Return the processes of a host in uninterruptible sleep."""
    found = []
    for pid in host.processes():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        if stat.rpartition(")")[2].split()[0] == "D":
            found.append(stat)
    return found


def wait_for(writer: subprocess.Popen[bytes]) -> int:
    """Wait for a container's process, and return its exit status."""
    return writer.wait(90)


@pytest.mark.parametrize("death", DEATHS)
def test_a_server_dies_under_its_volumes(death: str, kernel_server: NfsServer, pyvol: Daemon) -> None:
    """A dead server affects only its own volumes, and all of them work again when it is back."""
    for name in ("idle", "busy", "other"):
        pyvol.create(name, pool="nas")
    for name in ("plain", "over"):
        pyvol.create(name, type="nfs", device=f":/export/main/{name}", o="addr=nas.lan")
    pyvol.mount("over")
    idle, busy = pyvol.container("idle"), pyvol.container("busy")
    plain = pyvol.container("plain")
    busy.run("echo before >/mnt/file")
    for name in ("local", "alive"):  # a first run, so that first-time costs are not measured
        live_a_life(pyvol, name, pool="nas2" if name == "alive" else "default")
    threads = pyvol.threads()

    DEATHS[death].die(kernel_server, pyvol.host)
    writer = busy.launch("echo during >>/mnt/file && sync /mnt/file")
    live_a_life(pyvol, "local")
    if death == "silent":
        live_a_life(pyvol, "alive", pool="nas2")
    said = refusal(pyvol, "other")
    assert "'other'" in said
    assert "nas.lan does not answer" in said
    assert "since" in said
    assert "'plain2'" in refusal_of_new(pyvol)
    live_a_life(pyvol, "local2")
    assert {"idle", "busy", "other", "plain"} <= pyvol.names()
    assert timed(lambda: pyvol.get("idle")) < UNHARMED_S
    assert timed(lambda: pyvol.wire.call("Path", Name="idle")) < UNHARMED_S
    quick = timed(lambda: refusal(pyvol, "other"))
    assert quick < UNHARMED_S, "the breaker is open: no request goes to the server"
    assert timed(lambda: pyvol.unmount("over")) < UNHARMED_S
    assert not [line for line in pyvol.host.mounts() if line.split()[4].endswith("/over")], "no container has it"
    assert writer.poll() is None, "a hard mount waits"

    DEATHS[death].live(kernel_server, pyvol.host)
    await_true(lambda: pyvol.can_mount("other"), "the pool to come back")
    await_true(lambda: pyvol.can_mount("plain"), "the plain export to come back")
    assert wait_for(writer) == 0
    assert busy.run("cat /mnt/file") == "before\nduring\n"
    assert idle.run("touch /mnt/file; ls /mnt") == plain.run("touch /mnt/file; ls /mnt") == "file\n"
    await_true(lambda: not stuck(pyvol.host), f"no process to be stuck: {stuck(pyvol.host)}")
    await_true(lambda: pyvol.threads() <= threads, f"{pyvol.threads()} threads to become {threads} again")


def refusal_of_new(pyvol: Daemon) -> str:
    """Create a volume on the dead server, and return the error of its Mount."""
    pyvol.create("plain2", type="nfs", device=":/export/main/plain2", o="addr=nas.lan")
    return refusal(pyvol, "plain2")


@pytest.mark.parametrize("death", ["stopped", "silent"])
def test_a_server_is_dead_when_pyvol_starts(death: str, kernel_server: NfsServer, pyvol: Daemon) -> None:
    """If pyvol starts with a dead server, it answers for all volumes at once, and mounts the pool later."""
    pyvol.create("far", pool="nas")
    pyvol.create("near")
    pyvol.kill()
    pyvol.host.reset()
    DEATHS[death].die(kernel_server, pyvol.host)
    pyvol.start()
    assert pyvol.names() == {"far", "near"}
    assert timed(lambda: pyvol.get("far")) < UNHARMED_S
    live_a_life(pyvol, "local")
    assert "nas.lan does not answer" in refusal(pyvol, "far")
    DEATHS[death].live(kernel_server, pyvol.host)
    await_true(lambda: pyvol.can_mount("far"), "the pool to come")
    container = pyvol.container("far")
    container.run("echo hello >/mnt/file")
    assert (kernel_server.path("main") / "volumes/far/_data/file").read_text() == "hello\n"


def test_what_is_on_a_dead_server_is_not_lost(kernel_server: NfsServer, pyvol: Daemon) -> None:
    """Remove and Create on a dead server are refused, change nothing, and work when it is back."""
    pyvol.create("v", pool="nas")
    kernel_server.vanish("nas.lan")
    with pytest.raises(Refused, match=r"'v'.*nas\.lan does not answer"):
        pyvol.remove("v")
    with pytest.raises(Refused, match=r"'w'.*nas\.lan does not answer"):
        pyvol.create("w", pool="nas")
    assert pyvol.names() == {"v"}
    assert "nas.lan does not answer" in str(pyvol.get("v")["Status"])
    kernel_server.appear("nas.lan")
    await_true(lambda: pyvol.can_mount("v"), "the pool to come back")
    pyvol.create("w", pool="nas")
    pyvol.remove("v")
    assert pyvol.names() == {"w"}
    assert "nas.lan answers" in str(pyvol.get("w")["Status"])


def test_a_stop_does_not_wait_for_a_dead_server(kernel_server: NfsServer, pyvol: Daemon) -> None:
    """Pyvol stops in time while a request to a dead server is in progress, and leaves no process."""
    pyvol.create("v", pool="nas")
    container = pyvol.container("v")
    before = pyvol.host.processes()
    kernel_server.vanish("nas.lan")
    refusal(pyvol, "v")
    assert timed(pyvol.stop) < 30
    await_true(lambda: pyvol.host.processes() <= before, "its children to be gone")
    kernel_server.appear("nas.lan")
    container.run("echo hello >/mnt/file")


@pytest.mark.parametrize("kind", ["pool", "plain"])
def test_a_directory_that_went_stale_is_mounted_anew(kind: str, kernel_server: NfsServer, pyvol: Daemon) -> None:
    """If the server's directory was replaced, the next Mount shows the new directory."""
    if kind == "pool":
        pyvol.create("v", pool="nas")
        root = kernel_server.path("main")
    else:
        pyvol.create("v", type="nfs", device=":/export/main/data", o="addr=nas.lan")
        root = kernel_server.path("main") / "data"
    container = pyvol.container("v")
    container.run("echo old >/mnt/file")
    container.end()
    pyvol.unmount("v")
    if kind == "plain":
        pyvol.mount("v", "idle")
        root.rename(root.with_name("gone"))
        kernel_server.path("main").joinpath("gone/file").unlink()
        kernel_server.path("main").joinpath("gone").rmdir()
        root.mkdir()
        (root / "file").write_text("new\n")
    else:
        (root / "volumes/v/_data/file").write_text("new\n")
        kernel_server.unexport("main")
        kernel_server.stop()
        kernel_server.export("main")
        kernel_server.start()
    seen = ""

    def sees() -> bool:
        nonlocal seen
        try:
            fresh = pyvol.container("v", "fresh")
        except Refused as refused:
            seen = str(refused)
            return False
        seen = fresh.run("cat /mnt/file")
        return seen == "new\n"

    await_true(sees, f"the new content, not {seen!r}")
