"""The sixteen scenarios by which Docker's own suite tells that an external volume driver is called as it should be.

Each has the assertions on the calls that the engine's authors make, with pyvol as the driver.
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

    from .calls import Story
    from .machine import Machine

pytestmark = [pytest.mark.engine, pytest.mark.beside]

BY_PYVOL = ("--volume-driver", "pyvol")


def counts(story: Story) -> dict[str, int]:
    """Count the verbs by which the engine's authors judge a driver."""
    return {verb: story.times(verb) for verb in ("Activate", "Create", "Remove", "Mount", "Unmount")}


def test_named(fresh: Machine) -> None:
    """A named volume is created, mounted, unmounted and removed once each, and its directory is gone."""
    assert fresh.run(*BY_PYVOL, "-v", "data:/data/here", script="stat -c %F /data/here") == "directory"
    fresh.docker("volume", "rm", "data")

    assert counts(fresh.story()) == {"Activate": 1, "Create": 1, "Remove": 1, "Mount": 1, "Unmount": 1}
    assert not fresh.data("data").exists()


def test_unnamed(fresh: Machine) -> None:
    """An unnamed volume of a --rm container goes with it."""
    fresh.run(*BY_PYVOL, "-v", "/data/here", script="touch /data/here/file")

    assert counts(fresh.story()) == {"Activate": 1, "Create": 1, "Remove": 1, "Mount": 1, "Unmount": 1}


def test_volumes_from(fresh: Machine) -> None:
    """A second container takes the first one's volume: two mounts, two unmounts, one removal at the end."""
    fresh.docker("run", "--network", "none", "--name", "one", *BY_PYVOL, "-v", "/here", BOX, "true")
    fresh.run("--volumes-from", "one", script="ls /here")
    fresh.docker("rm", "--force", "--volumes", "one")

    assert counts(fresh.story()) == {"Activate": 1, "Create": 1, "Remove": 1, "Mount": 2, "Unmount": 2}


def test_delete_container(fresh: Machine) -> None:
    """Removing a container with its volumes removes the unnamed one."""
    fresh.docker("run", "--network", "none", "--name", "one", *BY_PYVOL, "-v", "/here", BOX, "true")
    fresh.docker("rm", "--force", "--volumes", "one")

    assert counts(fresh.story()) == {"Activate": 1, "Create": 1, "Remove": 1, "Mount": 1, "Unmount": 1}


def test_lookup_not_blocked(fresh: Machine) -> None:
    """While the engine waits for another driver that is down, volumes are created by pyvol and by the engine itself."""
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
        # The engine goes on trying; the next test gets one that knows of no such driver.
        fresh.dockerd.kill()


def test_retry_not_immediately_exists(machine: Machine) -> None:
    """A run that begins before its driver exists waits for it and succeeds."""
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

    assert counts(machine.story()) == {"Activate": 1, "Create": 1, "Remove": 1, "Mount": 1, "Unmount": 1}


def test_list(fresh: Machine) -> None:
    """A volume is listed with its driver, at the price of one List."""
    fresh.create("abc3")
    listed = fresh.docker("volume", "ls", "--format", "{{.Driver}} {{.Name}}")

    assert listed == "pyvol abc3"
    assert fresh.story().times("List") == 1


def test_get(fresh: Machine) -> None:
    """An unknown volume is asked for once and is no such volume; a known one shows the driver's Status."""
    assert "no such volume" in fresh.refused("volume", "inspect", "dummy").lower()
    assert fresh.story().times("Get") == 1
    fresh.create("data")

    status = fresh.inspect_volume("data")["Status"]
    assert status["pool"] == "default"
    assert all(isinstance(value, str) for value in status.values())


def test_daemon_restart(fresh: Machine) -> None:
    """After a restart of the engine the volume is still the driver's."""
    fresh.create("abc1")
    fresh.dockerd.restart()
    fresh.docker("run", "--network", "none", "--name", "one", "-v", "abc1:/here", BOX, "true")

    [mount] = json.loads(fresh.docker("inspect", "--format", "{{json .Mounts}}", "one"))
    assert (mount["Name"], mount["Driver"]) == ("abc1", "pyvol")


def test_get_empty_response(fresh: Machine) -> None:
    """An empty answer to Get is no such volume and harms no engine; the Create that follows is a success (fact 12)."""
    fresh.create("abc2", mode="0711")
    fresh.recorder.answer_next("Get", b"{}")
    assert "no such volume" in fresh.refused("volume", "inspect", "abc2").lower()
    fresh.recorder.answer_next("Get", b"{}")
    fresh.create("abc2", mode="0711")

    assert fresh.story("abc2").of("Create").told() == "C C"
    assert fresh.inspect_volume("abc2")["Options"] == {"mode": "0711"}


def test_path_calls(fresh: Machine) -> None:
    """Neither a create nor a list asks for a path."""
    fresh.create("data")
    fresh.docker("volume", "ls")
    fresh.docker("volume", "inspect", "data")

    assert fresh.story().times("Path") == 0


def test_mount_id(fresh: Machine) -> None:
    """A Mount has an ID of 64 hex digits, and its Unmount the same."""
    fresh.run(*BY_PYVOL, "-v", "data:/data/here")

    [mount], [unmount] = fresh.story().of("Mount"), fresh.story().of("Unmount")
    assert re.fullmatch("[0-9a-f]{64}", mount.mount_id)
    assert unmount.mount_id == mount.mount_id


def test_capabilities(fresh: Machine) -> None:
    """The scope that is set is the scope that is shown, and it is asked once (fact 27)."""
    fresh.plugin.restart(PYVOL_SCOPE="global")
    for number in range(3):
        fresh.create(f"data-{number}")
        assert fresh.story().times("Capabilities") == 1
        assert fresh.inspect_volume(f"data-{number}")["Scope"] == "global"


def test_out_of_band_delete(fresh: Machine) -> None:
    """A volume that vanishes behind the engine's back can be made anew, by the same driver or by another."""
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
    """A Mount that fails, of a volume whose directory has gone, is followed by no Unmount (fact 26)."""
    lost = tmp_path / "lost"
    lost.mkdir()
    fresh.create("broken", path=str(lost))
    lost.rmdir()
    for words in ((), ("-w", "/foo")):
        fresh.refused("run", "--network", "none", *words, "-v", "broken:/foo", BOX, "true")
        assert fresh.story().times("Unmount") == 0

    assert fresh.story().times("Mount") == 2
    assert fresh.claims("broken") == []


def test_unmount_on_cp(fresh: Machine, tmp_path: Path) -> None:
    """A copy from a running container mounts and unmounts once more, and its end unmounts the other."""
    fresh.create("data")
    fresh.launch("box", "-v", "data:/foo", script="touch /file; sleep 600")
    assert counts(fresh.story("data")) == {"Activate": 0, "Create": 1, "Remove": 0, "Mount": 1, "Unmount": 0}
    fresh.docker("exec", "box", "sh", "-c", "until [ -e /file ]; do usleep 10000; done")
    fresh.copy_out("box:/file", str(tmp_path / "file"))
    assert counts(fresh.story("data")) == {"Activate": 0, "Create": 1, "Remove": 0, "Mount": 2, "Unmount": 1}
    fresh.docker("kill", "box")
    fresh.await_calls("Unmount", 2)

    assert counts(fresh.story("data")) == {"Activate": 0, "Create": 1, "Remove": 0, "Mount": 2, "Unmount": 2}
    assert fresh.claims("data") == []
