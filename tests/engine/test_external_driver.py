"""The sixteen scenarios with which Docker's own test suite checks calls to an external volume driver.

Each test makes the same assertions about the engine's calls, with pyvol as the driver.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from .images import BOX

if TYPE_CHECKING:
    from pathlib import Path

    from .calls import Calls
    from .machine import Machine

pytestmark = [pytest.mark.engine, pytest.mark.beside]

BY_PYVOL = ("--volume-driver", "pyvol")


def counts(calls: Calls) -> dict[str, int]:
    """Return the number of calls per verb that Docker's own tests compare."""
    return {verb: calls.times(verb) for verb in ("Activate", "Create", "Remove", "Mount", "Unmount")}


def test_named(fresh: Machine) -> None:
    """A named volume is created, mounted, unmounted and removed once each, and its directory is gone."""
    assert fresh.run(*BY_PYVOL, "-v", "data:/data/here", script="stat -c %F /data/here") == "directory"
    fresh.docker("volume", "rm", "data")

    assert counts(fresh.calls()) == {"Activate": 1, "Create": 1, "Remove": 1, "Mount": 1, "Unmount": 1}
    assert not fresh.data("data").exists()


def test_unnamed(fresh: Machine) -> None:
    """The engine removes an unnamed volume of a --rm container with the container."""
    fresh.run(*BY_PYVOL, "-v", "/data/here", script="touch /data/here/file")

    assert counts(fresh.calls()) == {"Activate": 1, "Create": 1, "Remove": 1, "Mount": 1, "Unmount": 1}


def test_volumes_from(fresh: Machine) -> None:
    """A second container uses the first one's volume: two mounts, two unmounts, one removal at the end."""
    fresh.docker("run", "--network", "none", "--name", "one", *BY_PYVOL, "-v", "/here", BOX, "true")
    fresh.run("--volumes-from", "one", script="ls /here")
    fresh.docker("rm", "--force", "--volumes", "one")

    assert counts(fresh.calls()) == {"Activate": 1, "Create": 1, "Remove": 1, "Mount": 2, "Unmount": 2}


def test_delete_container(fresh: Machine) -> None:
    """Removing a container with its volumes removes the unnamed volume."""
    fresh.docker("run", "--network", "none", "--name", "one", *BY_PYVOL, "-v", "/here", BOX, "true")
    fresh.docker("rm", "--force", "--volumes", "one")

    assert counts(fresh.calls()) == {"Activate": 1, "Create": 1, "Remove": 1, "Mount": 1, "Unmount": 1}


def test_lookup_not_blocked(fresh: Machine) -> None:
    """While the engine waits for an unreachable driver, pyvol and the engine can create volumes."""
    down = fresh.namespace.plugins / "down.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(down))
    waiting = subprocess.Popen(
        fresh.dockerd.client("volume", "create", "--driver", "down"),
        env=fresh.dockerd.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        fresh.dockerd.await_retry()
        fresh.create("data")
        fresh.docker("volume", "create", "--driver", "local", "other")
        assert waiting.poll() is None
    finally:
        waiting.kill()
        waiting.wait()
        down.unlink()
        # The engine keeps trying to reach the driver; the next test gets an engine without such a driver.
        fresh.dockerd.kill()


def test_retry_not_immediately_exists(machine: Machine) -> None:
    """A run that begins before its driver exists waits for the driver and succeeds."""
    machine.recorder.close()
    machine.dockerd.kill()
    machine.dockerd.start()
    machine.recorder.forget()
    running = threading.Thread(target=machine.run, args=(*BY_PYVOL, "-v", "data:/data/here"))
    running.start()
    machine.dockerd.await_retry()
    machine.recorder.open()
    running.join()
    machine.docker("volume", "rm", "data")

    assert counts(machine.calls()) == {"Activate": 1, "Create": 1, "Remove": 1, "Mount": 1, "Unmount": 1}


def test_list(fresh: Machine) -> None:
    """A list shows a volume with its driver, and costs one List."""
    fresh.create("abc3")
    listed = fresh.docker("volume", "ls", "--format", "{{.Driver}} {{.Name}}")

    assert listed == "pyvol abc3"
    assert fresh.calls().times("List") == 1


def test_get(fresh: Machine) -> None:
    """An unknown volume costs one Get and does not exist; a known volume shows the driver's Status."""
    assert "no such volume" in fresh.refused("volume", "inspect", "dummy").lower()
    assert fresh.calls().times("Get") == 1
    fresh.create("data")

    status = fresh.inspect_volume("data")["Status"]
    assert status["pool"] == "default"
    assert all(isinstance(value, str) for value in status.values())


def test_daemon_restart(fresh: Machine) -> None:
    """After a restart of the engine the volume still belongs to the driver."""
    fresh.create("abc1")
    fresh.dockerd.restart()
    fresh.docker("run", "--network", "none", "--name", "one", "-v", "abc1:/here", BOX, "true")

    [mount] = json.loads(fresh.docker("inspect", "--format", "{{json .Mounts}}", "one"))
    assert (mount["Name"], mount["Driver"]) == ("abc1", "pyvol")


def test_get_empty_response(fresh: Machine) -> None:
    """The engine takes an empty reply to Get as an unknown volume, and the next Create succeeds (fact 12)."""
    fresh.create("abc2", mode="0711")
    fresh.recorder.answer_next("Get", b"{}")
    assert "no such volume" in fresh.refused("volume", "inspect", "abc2").lower()
    fresh.recorder.answer_next("Get", b"{}")
    fresh.create("abc2", mode="0711")

    assert fresh.calls("abc2").of("Create").notation() == "C C"
    assert fresh.inspect_volume("abc2")["Options"] == {"mode": "0711"}


def test_path_calls(fresh: Machine) -> None:
    """Create, ls and inspect send no Path."""
    fresh.create("data")
    fresh.docker("volume", "ls")
    fresh.docker("volume", "inspect", "data")

    assert fresh.calls().times("Path") == 0


def test_mount_id(fresh: Machine) -> None:
    """A Mount has an ID of 64 hex digits, and its Unmount has the same ID."""
    fresh.run(*BY_PYVOL, "-v", "data:/data/here")

    [mount], [unmount] = fresh.calls().of("Mount"), fresh.calls().of("Unmount")
    assert re.fullmatch("[0-9a-f]{64}", mount.mount_id)
    assert unmount.mount_id == mount.mount_id


def test_capabilities(fresh: Machine) -> None:
    """The engine shows the configured scope, and sends Capabilities once (fact 27)."""
    fresh.plugin.restart(PYVOL_SCOPE="global")
    for number in range(3):
        fresh.create(f"data-{number}")
        assert fresh.calls().times("Capabilities") == 1
        assert fresh.inspect_volume(f"data-{number}")["Scope"] == "global"


def test_out_of_band_delete(fresh: Machine) -> None:
    """A volume that was removed without the engine can be created again by the same driver or another one."""
    fresh.create("test")
    assert "must be unique" in fresh.refused("volume", "create", "--driver", "local", "test")
    fresh.plugin.post("VolumeDriver.Remove", {"Name": "test"})
    fresh.create("test", mode="0711")
    seen = fresh.inspect_volume("test")
    assert (seen["Driver"], seen["Options"]) == ("pyvol", {"mode": "0711"})
    fresh.plugin.post("VolumeDriver.Remove", {"Name": "test"})
    fresh.docker("volume", "create", "--driver", "local", "test")

    seen = fresh.inspect_volume("test")
    assert (seen["Driver"], seen["Options"] or {}) == ("local", {})


def test_unmount_on_mount_fail(fresh: Machine, tmp_path: Path) -> None:
    """After a Mount that fails because the directory is gone, the engine sends no Unmount (fact 26)."""
    lost = tmp_path / "lost"
    lost.mkdir()
    fresh.create("broken", path=str(lost))
    lost.rmdir()
    for words in ((), ("-w", "/foo")):
        fresh.refused("run", "--network", "none", *words, "-v", "broken:/foo", BOX, "true")
        assert fresh.calls().times("Unmount") == 0

    assert fresh.calls().times("Mount") == 2
    assert fresh.claims("broken") == []


def test_unmount_on_cp(fresh: Machine, tmp_path: Path) -> None:
    """A copy from a running container mounts and unmounts again; the container's end unmounts once."""
    fresh.create("data")
    fresh.launch("box", "-v", "data:/foo", script="touch /file; sleep 600")
    assert counts(fresh.calls("data")) == {"Activate": 0, "Create": 1, "Remove": 0, "Mount": 1, "Unmount": 0}
    fresh.docker("exec", "box", "sh", "-c", "until [ -e /file ]; do usleep 10000; done")
    fresh.copy_out("box:/file", str(tmp_path / "file"))
    assert counts(fresh.calls("data")) == {"Activate": 0, "Create": 1, "Remove": 0, "Mount": 2, "Unmount": 1}
    fresh.docker("kill", "box")
    fresh.await_calls("Unmount", 2)

    assert counts(fresh.calls("data")) == {"Activate": 0, "Create": 1, "Remove": 0, "Mount": 2, "Unmount": 2}
    assert fresh.claims("data") == []
