"""Completion in a shell, and the help of every command."""

import os
import re
import subprocess
import sys

import pytest

from pyvol.api.error_codes import TABLE
from served import PATIENCE_S, Served


def complete(served: Served, *words: str) -> list[str]:
    """Return what bash offers as completions of the last word."""
    asked = {"_PYVOL_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    command = os.path.join(os.path.dirname(sys.executable), "pyvol")  # noqa: PTH118, PTH120  # as PATH would find it
    done = subprocess.run(
        [command], env=served.environment | asked, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_flags_and_names_are_completed(served: Served) -> None:
    """Completion offers commands, options, live volumes, and for undelete the removed volumes."""
    for name in ("data-1", "data-2", "other"):
        served.ok("VolumeDriver.Create", {"Name": name})
    served.ok("VolumeDriver.Remove", {"Name": "data-2"})
    assert complete(served, "pyvol", "und") == ["undelete"]
    assert complete(served, "pyvol", "ls", "--j") == ["--json"]
    assert complete(served, "pyvol", "inspect", "da") == ["data-1"]
    assert complete(served, "pyvol", "undelete", "da") == ["data-2"]
    assert complete(served, "pyvol", "inspect", "--socket", str(served.socket), "ot") == ["other"]


def test_without_a_daemon_nothing_is_offered(served: Served) -> None:
    """Without a daemon, completion offers nothing and prints no error at the prompt."""
    served.stop()
    assert complete(served, "pyvol", "inspect", "da") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(served: Served, shell: str) -> None:
    """The script for each shell calls pyvol with the variable of that shell."""
    done = served.cli("completion", shell)
    assert done.returncode == 0
    assert f"_PYVOL_COMPLETE={shell}_complete" in done.stdout
    assert (" == *func ]]" in done.stdout) is (
        shell == "zsh"
    )  # this line makes the first completion of a session work too
    assert done.stderr == ""


def test_bash_takes_its_script(served: Served) -> None:
    """Bash accepts its script, which defines a completion for pyvol."""
    script = served.cli("completion", "bash").stdout
    done = subprocess.run(
        ["bash", "-c", f"{script}\ncomplete -p pyvol"], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert done.stdout.rstrip().endswith("pyvol")


def test_help_names_each_exit_code(served: Served) -> None:
    """`pyvol --help` and docs/cli.md list the same exit codes."""
    listed = re.findall(r"\b(\d+)\s+[a-z]", served.cli("--help").stdout.partition("Exit codes:")[2])
    assert set(listed) == {"0"} | {str(row.exit_code) for row in TABLE.values()} | {str(os.EX_IOERR)}
