"""Every command, whatever it does: its help has examples that work, and it ends with the codes of docs/cli.md."""

import errno
import gc
import io
import os
import shlex
import sys
import warnings

import click
import pytest

from commands import command_lines, examples
from pyvol.api.codec import STATUS
from pyvol.cli.exit_codes import SeveralFailed, exit_code, tell
from pyvol.cli.group import MODULES, group, main
from pyvol.client.pyvol_api import RequestRefused
from pyvol.core.errors import EngineUnreachable

ALL = dict(command_lines(group))
NOBODY = "/nonexistent.sock"


def run(monkeypatch: pytest.MonkeyPatch, *words: str, command: click.Command = group) -> int:
    """Run a command in this process, where no daemon answers; return its exit code."""
    monkeypatch.setenv("PYVOL_SOCKET", NOBODY)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "argv", ["pyvol", *words])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    code: object = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # requests-unixsocket leaves a socket that found nobody open
        try:
            main(command)
        except SystemExit as ended:
            code = ended.code
        gc.collect()
    assert isinstance(code, int)
    return code


def test_the_overview_has_every_command() -> None:
    """`pyvol --help` lists each, with a line of its own."""
    overview = group.get_help(click.Context(group))
    for word in MODULES:
        assert f"\n  {word} " in overview


@pytest.mark.parametrize("line", ALL)
def test_examples_are_taken(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """The help of each command has examples of it, and each of their words is one that it knows."""
    monkeypatch.setenv("PYVOL_SOCKET", NOBODY)
    shown = examples(ALL[line])
    assert shown
    for example in shown:
        assert f"{example} ".startswith(f"{line} ")
        ALL[line].make_context(line, shlex.split(example.removeprefix(line)))


@pytest.mark.parametrize("line", ALL)
def test_what_makes_no_sense_ends_with_2(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """A flag that nobody knows."""
    assert run(monkeypatch, *line.split()[1:], "--nonsense") == 2


@pytest.mark.parametrize("line", sorted(ALL.keys() - {"pyvol serve", "pyvol config", "pyvol completion"}))
def test_without_a_daemon_it_ends_with_69(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """Each that needs one, with a sentence; but for the doctor, to whom that is something that is not well."""
    flags = {flag for option in ALL[line].params for flag in option.opts}
    words = [*shlex.split(examples(ALL[line])[0])[1:], *(["--force"] if "--force" in flags else [])]
    code = run(monkeypatch, *words)
    said = capsys.readouterr()
    if line == "pyvol doctor":
        assert (code, "no pyvol answers" in said.out) == (1, True)
    else:
        assert code == 69
        assert said.err.startswith("pyvol: ")
        assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("word", ["serve", "config"])
def test_a_bad_setting_ends_with_78(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """Before anything is touched."""
    assert run(monkeypatch, word, "--scope", "everywhere") == 78


def test_an_error_of_the_system_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only an error of the output is called one of the output."""

    @click.command
    def fail() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/etc/secret")

    assert run(monkeypatch, command=fail) == 1
    assert capsys.readouterr().err == "pyvol: [Errno 13] Permission denied: '/etc/secret'\n"


def test_success_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what needs no daemon; the others are run against one elsewhere."""
    assert run(monkeypatch, "completion", "bash") == 0
    assert run(monkeypatch, "config", "--config", "/dev/null") == 0


@pytest.mark.parametrize(("status", "code"), sorted({row for row in STATUS.values() if row[1] not in {69, 78}}))
def test_what_the_daemon_refuses_has_its_code(status: int, code: int) -> None:
    """A script can tell a bad request, what is missing, what is refused and what is busy."""
    assert exit_code(RequestRefused(status, "sentence")) == code


def test_of_several_failures_the_first_has_the_code() -> None:
    """Each is told, in one line; and 69 stays 69, though who is busy has the same status on the wire."""
    with pytest.raises(SeveralFailed, match="no engine: start it; no such") as failed:
        tell([EngineUnreachable("no engine", "start it"), RequestRefused(404, "no such")])
    assert exit_code(failed.value) == os.EX_UNAVAILABLE
