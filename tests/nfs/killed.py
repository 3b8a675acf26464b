"""Runs on a host of the guest: mounts and unmounts a volume, is killed at each step, and prints errors.

Usage: python -m nfs.killed ROOT KIND VERB FIRST EVERY

A step is a call that changes something outside pyvol: a message to a worker, a commit, a descriptor for the
fd store, a directory. The process is killed after each step, which is before the next one, and while a worker
works. A run is a fork of a process that has loaded pyvol's modules: it checks the state that the earlier run
left, and dies at the next step.
"""

import fcntl
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from deadline import await_true
from pyvol.config import settings
from pyvol.daemon.app import Daemon
from pyvol.daemon.log import configure
from pyvol.storage.remote import server

from .server import ROOT

OPTIONS = {
    "plain": {"type": "nfs", "device": ":/export/main/data", "o": "addr=nas.lan,vers=4.2"},
    "pool": {"pool": "nas", "access": "exclusive"},
}
POOLS = {"pools": {"nas": {"kind": "nfs", "export": "nas.lan:/export/main"}}}
STEPS = {
    "_send",
    "WorkerPool.call",
    "FdStore.keep",
    "FdStore.take",
    "SqliteCatalog.save_claim",
    "SqliteCatalog.drop_claim",
    "MountedVolumes._clear",
}


class DaemonRun:
    """One run of the daemon's components, in this process, without its server.

    Args:
        root: its directory.
        kind: the key of its volume's options in `OPTIONS`.
    """

    def __init__(self, root: Path, kind: str) -> None:
        found = settings.load({"root": str(root / "pool"), **(POOLS if kind == "pool" else {})})
        found.root.mkdir(exist_ok=True)
        self._places = found.root / "mounts"
        self._daemon = Daemon(found, configure("warning", "console"))
        self._daemon.start()
        self._client = self._daemon.flask.test_client()
        self._kind = kind

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Send a request as an engine does; an error is an AssertionError."""
        reply = self._client.post(f"/VolumeDriver.{verb}", data=json.dumps({"Name": "v", **fields}))
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = json.loads(reply.text)
        return found

    def create(self) -> None:
        """Create the volume."""
        self.ask("Create", Opts=OPTIONS[self._kind])

    def mount(self, mount_id: str) -> Path:
        """Mount the volume."""
        return Path(self.ask("Mount", ID=mount_id)["Mountpoint"])

    def unmount(self, mount_id: str) -> None:
        """Unmount the volume."""
        self.ask("Unmount", ID=mount_id)

    def claims(self) -> int:
        """Return the number of claims."""
        return sum(claim["count"] for claim in json.loads(self._client.get("/v1/claims").text)["claims"])

    def is_right(self) -> bool:
        """Return whether exactly the claimed volumes are mounted and locked."""
        claimed = self.claims() > 0
        if self._kind == "pool":
            return len(own_mounts()) == 1 and is_locked() == claimed
        places = [entry.name for entry in self._places.iterdir()] if self._places.exists() else []
        return (len(own_mounts()), places) == ((1, ["v"]) if claimed else (0, []))

    def settle(self, what: str) -> None:
        """Wait until the daemon has repaired what an earlier run left; it must never have two mounts."""

        def is_right() -> bool:
            places = own_mounts()
            assert len(places) == len(set(places)) <= 1, places
            return self.is_right()

        await_true(is_right, f"{what}: {self.claims()} claims, mounts {own_mounts()}, to be right")

    def end(self) -> None:
        """Stop the daemon cleanly."""
        self._daemon.stop()


VERBS: dict[str, Callable[[DaemonRun], object]] = {
    "mount": lambda run: run.mount("x"),
    "unmount": lambda run: run.unmount("x"),
}


def own_mounts() -> list[str]:
    """Return the mount points of NFS."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [fields[4] for fields in lines if {"nfs", "nfs4"} & set(fields)]


def is_locked() -> bool:
    """Return whether any client holds a lock on the server."""
    for path in (ROOT / "export/main/locks").iterdir():
        with path.open("rb+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
    return False


def workers() -> list[int]:
    """Return the workers of a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"pyvol.storage.nfs.worker" in words:
            found.append(int(path.parent.name))
    return found


def in_a_child(act: Callable[[], object]) -> int:
    """Call a function in a child process, which prints exceptions; return the wait status."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException:  # noqa: BLE001  # no exception may continue after the fork
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def counting(steps: list[str], kill_at: int) -> Callable[[FrameType, str, Any], Any]:
    """Return a trace function that records each step, and kills the process after one of them."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_qualname not in STEPS:
            return None
        if event == "return":
            if len(steps) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            steps.append(frame.f_code.co_qualname)
        return trace

    return trace


def live(root: Path, kind: str, verb: str, kill_at: int) -> None:
    """Check the state of the earlier run, prepare the verb, and die in it, or write down its steps."""
    run = DaemonRun(root, kind)
    run.create()
    assert run.claims() in {0, 1}
    run.settle("what was left")
    run.mount("y").joinpath("file").touch()
    run.settle("with one more container")
    for mount_id in ("x", "y"):
        run.unmount(mount_id)
    run.settle("with no container")
    if verb == "unmount":
        run.mount("x")
    steps: list[str] = []
    sys.settrace(counting(steps, kill_at))
    VERBS[verb](run)
    sys.settrace(None)
    (root / "steps").write_text("\n".join(steps))
    run.end()


def main() -> None:
    """List the steps in a run without a kill, then kill a run at each step, and check the last state."""
    root, kind, verb = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    server.FRESH_S = 0.0  # otherwise the time that has passed would change the steps
    root.mkdir()
    whole = in_a_child(lambda: live(root, kind, verb, -1))
    steps = (root / "steps").read_text().splitlines()
    wrong = ["without a death"] if whole else []
    for at, step in list(enumerate(steps))[int(sys.argv[4]) :: int(sys.argv[5])]:
        if in_a_child(lambda at=at: live(root, kind, verb, at)) != signal.SIGKILL:  # type: ignore[misc]
            wrong.append(f"in the run that was to end after step {at}, {step}")
        # A start would take longer than the workers take to end.
        await_true(lambda: not workers(), "the workers of the dead to end")
    if in_a_child(lambda: live(root, kind, verb, -1)):
        wrong.append("after the last death")
    sys.stdout.write(json.dumps({"steps": steps, "wrong": wrong}) + "\n")


if __name__ == "__main__":
    main()
