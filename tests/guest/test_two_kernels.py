"""Two hosts that share a pool over a cable and nothing else: two kernels, one of which can sleep."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from .uml import Guest, lay_cable, make_disk

pytestmark = pytest.mark.guest

ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).resolve().parent.parent), "HOME": str(Path.home())}
SERVER_MIB = 768
SOCKET, LOG = "/srv/pyvol/p.sock", "/srv/pyvol/log"
AHEAD_S = 2.0
LEASE_OVER_S = 90.0

Ask = Callable[..., str]


def ask(guest: Guest, verb: str, *, moment: float = 0, **fields: object) -> str:
    """Send a guest's pyvol one request; return its error message, or an empty string."""
    words = [sys.executable, "-S", "-m", "guest.ask", SOCKET, str(moment), verb, json.dumps(fields)]
    return guest.run(*words, env=ENVIRONMENT).stdout


def at_once(*guests: Guest, verb: str, fields: Sequence[dict[str, object]]) -> list[str]:
    """Send a request to each guest at the same moment, which is far enough ahead for slow guests."""
    with ThreadPoolExecutor(len(guests)) as pool:
        begun = time.monotonic()
        list(pool.map(lambda guest: ask(guest, "Capabilities"), guests))
        moment = time.time() + AHEAD_S + 2 * (time.monotonic() - begun)
        return list(pool.map(lambda guest, asked: ask(guest, verb, moment=moment, **asked), guests, fields))


def await_success(ask: Ask) -> None:
    """Repeat a request until it succeeds."""
    deadline = time.monotonic() + LEASE_OVER_S
    while refused := ask():
        assert time.monotonic() < deadline, refused


@pytest.fixture
def guests(tmp_path: Path) -> Iterator[tuple[Guest, Guest]]:
    """Yield the guest with the NFS server, and the other guest."""
    with ExitStack() as stack:
        one, two = stack.enter_context(lay_cable())
        disk = make_disk(tmp_path / "disk", 64)
        made = (
            stack.enter_context(Guest(disks=[disk], plug=one, memory_mib=SERVER_MIB)),
            stack.enter_context(Guest(plug=two)),
        )
        for guest, name in zip(made, ("here", "there"), strict=True):
            guest.run(sys.executable, "-m", "nfs.kernel", name, env=ENVIRONMENT)
        yield made


def test_two_kernels_share_a_pool(guests: tuple[Guest, Guest]) -> None:
    """A name is one volume, and an exclusive volume stays on its host until a sleeping host's lease ends.

    The host that wakes up takes the free lock again, and logs that the lock was lost.
    """
    here, there = guests
    same: dict[str, object] = {"Name": "same", "Opts": {"pool": "nas"}}
    assert at_once(*guests, verb="Create", fields=[same, same]) == ["", ""]
    others: list[dict[str, object]] = [{"Name": "other", "Opts": {"pool": "nas", "uid": uid}} for uid in ("1", "2")]
    said = at_once(*guests, verb="Create", fields=others)
    assert sorted(map(bool, said)) == [False, True], said
    assert here.run("ls", "/srv/nas/export/main/volumes").stdout == "other\nsame\n"

    assert ask(there, "Create", Name="own", Opts={"pool": "nas", "access": "exclusive"}) == ""
    assert ask(there, "Mount", Name="own", ID="x") == ""
    assert "is mounted on there" in ask(here, "Mount", Name="own", ID="y")
    assert "is in use on there" in ask(here, "Remove", Name="own")
    with there.sleeping():
        await_success(partial(ask, here, "Mount", Name="own", ID="y"))
        assert ask(here, "Unmount", Name="own", ID="y") == ""
    await_success(partial(ask, there, "Mount", Name="own", ID="again"))
    assert "lock was lost" in there.run("cat", LOG).stdout
    assert "is mounted on there" in ask(here, "Mount", Name="own", ID="y")
