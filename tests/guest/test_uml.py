"""The guest itself: a test in a guest is only as good as the guest."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from .uml import Guest, GuestDied, make_disk

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest

MARKED = "import sys; sys.stdout.write('half '); sys.stdout.flush(); print('and whole'); sys.exit(3)"


def test_a_guest_copies_this_machine_and_a_cut_loses_unsynced_files(tmp_path: Path) -> None:
    """A guest works on a copy of the machine's files, and a power cut loses only what was not synced."""
    disk = make_disk(tmp_path / "disk", 16)
    shared = tmp_path / "shared"
    shared.mkdir()
    (tmp_path / "file").write_text("the host's")
    with Guest(disks=[disk], writable=[shared]) as guest:
        done = guest.run(sys.executable, "-c", MARKED, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (3, "half and whole\n", "")
        assert guest.run("cat", stdin="x" * 100_000).stdout == "x" * 100_000
        assert guest.run("nowhere-to-be-found", check=False).returncode == 127
        with pytest.raises(AssertionError, match="exited 1"):
            guest.run("false")
        with pytest.raises(AssertionError, match="exited 3 in the guest:\nwhy"):
            list(guest.lines("sh", "-c", "echo out; echo why >&2; exit 3"))

        guest.run("sh", "-c", f"cd {tmp_path}; cat file > shared/copy; echo guest > file; touch new")
        assert (shared / "copy").read_text() == "the host's"
        assert (tmp_path / "file").read_text() == "the host's"
        assert not (tmp_path / "new").exists()

        guest.run("mount", "-o", "commit=300", "/dev/ubda", "/media")
        guest.run("sh", "-c", "echo durable > /media/synced; sync /media/synced /media; echo volatile > /media/not")
        guest.cut_power()
        with pytest.raises(GuestDied):
            guest.run("true")

    with Guest(disks=[disk]) as guest:
        guest.run("mount", "/dev/ubda", "/media")
        assert guest.run("ls", "/media").stdout.split() == ["lost+found", "synced"]
        assert guest.run("cat", "/media/synced").stdout == "durable\n"
