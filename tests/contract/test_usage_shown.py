"""`pyvol usage` with a running daemon: counted on request, shown everywhere, kept after a restart."""

import json
import subprocess
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from served import Served, parse


def du(path: Path) -> int:
    """Return the result of GNU du, in bytes on the disk."""
    done = subprocess.run(["du", "-s", "--block-size=1", path], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def usage(served: Served, *words: str) -> list[dict[str, Any]]:
    """Return the command's JSON output."""
    shown: list[dict[str, Any]] = json.loads(served.cli("usage", "--json", *words).stdout)
    return shown


def test_a_count_is_asked_for_and_shown_everywhere(served: Served) -> None:
    """A count is in usage, ls, inspect, Docker's Status, the trash and metrics, also after a restart."""
    for name in ("small", "big"):
        served.ok("VolumeDriver.Create", {"Name": name})
    data = served.root / "volumes/big/_data"
    for number in range(300):
        (data / str(number)).write_bytes(b"x" * 5000)
    assert {row["usage"] for row in usage(served)} == {None}
    big, small = usage(served, "--now")
    assert (big["name"], big["usage"]["bytes"], big["usage"]["files"]) == ("big", du(data), 300)
    assert small["usage"]["files"] == 0
    assert served.stop() == 0
    served.start()
    assert usage(served, "big") == [big]
    assert "MiB (" in served.cli("ls").stdout
    status = served.ok("VolumeDriver.Get", {"Name": "big"})["Volume"]["Status"]
    assert "in 300 files (" in status["usage"]
    served.ok("VolumeDriver.Remove", {"Name": "big"})
    (removed,) = json.loads(served.cli("trash", "ls", "--json").stdout)
    assert removed["usage"] == big["usage"]
    metrics = parse(served.send(b"GET /metrics HTTP/1.1\r\nHost: p\r\n\r\n")).body.decode()
    (family,) = [one for one in text_string_to_metric_families(metrics) if one.name == "pyvol_trash_bytes"]
    assert [sample.value for sample in family.samples] == [big["usage"]["bytes"]]


def test_an_unknown_volume_is_named(served: Served) -> None:
    """An unknown volume gives the usual error and exit code."""
    refused = served.cli("usage", "nobody", "--now")
    assert refused.returncode == 3
    assert "nobody" in refused.stderr
