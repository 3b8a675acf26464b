"""Every command has examples in its help that work, and the exit codes of docs/cli.md."""

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
from pyvol.api.error_codes import TABLE
from pyvol.api.messages import Failure
from pyvol.cli.exit_codes import SeveralFailed, exit_code, raise_all
from pyvol.cli.group import MODULES, group, main
from pyvol.client.pyvol_api import RequestRefused
from pyvol.core.errors import EngineUnreachable

ALL = dict(command_lines(group))
NOBODY = "/nonexistent.sock"


def run(monkeypatch: pytest.MonkeyPatch, *words: str, command: click.Command = group) -> int:
    """Run a command in this process, where no daemon answers; return its exit code."""
    for name in [name for name in os.environ if name.startswith("PYVOL_")]:
        monkeypatch.delenv(name)
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
    """`pyvol --help` has a line for each command."""
    overview = group.get_help(click.Context(group))
    for word in MODULES:
        assert f"\n  {word} " in overview


@pytest.mark.parametrize("line", ALL)
def test_the_examples_are_valid(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """The help of each command has examples, and the command accepts each of them."""
    monkeypatch.setenv("PYVOL_SOCKET", NOBODY)
    shown = examples(ALL[line])
    assert shown
    for example in shown:
        assert f"{example} ".startswith(f"{line} ")
        ALL[line].make_context(line, shlex.split(example.removeprefix(line)))


@pytest.mark.parametrize("line", ALL)
def test_an_unknown_flag_exits_with_2(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """For every command."""
    assert run(monkeypatch, *line.split()[1:], "--nonsense") == 2


@pytest.mark.parametrize("line", sorted(ALL.keys() - {"pyvol serve", "pyvol config", "pyvol completion"}))
def test_without_a_daemon_a_command_exits_with_69(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """Each command that needs a daemon prints one line; for the doctor, the missing daemon is a finding."""
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
def test_a_bad_setting_exits_with_78(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """Nothing has been changed."""
    assert run(monkeypatch, word, "--scope", "everywhere") == 78


def test_an_error_of_the_system_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only errors of the output are reported as errors of the output."""

    @click.command
    def fail() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/etc/secret")

    assert run(monkeypatch, command=fail) == 1
    assert capsys.readouterr().err == "pyvol: [Errno 13] Permission denied: '/etc/secret'\n"


def test_success_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the commands that need no daemon; the contract tests run the others."""
    assert run(monkeypatch, "completion", "bash") == 0
    assert run(monkeypatch, "config", "--config", "/dev/null") == 0


@pytest.mark.parametrize("code", TABLE)
def test_the_exit_code_of_a_refused_request_comes_from_the_errors_code(code: str) -> None:
    """A script can tell apart a bad request, a missing volume, a refused request and a busy volume."""
    assert exit_code(RequestRefused(Failure("sentence", code))) == TABLE[code].exit_code


def test_an_error_code_of_a_newer_daemon_is_a_plain_failure() -> None:
    """An older command ends with 1, and shows the daemon's sentence."""
    error = RequestRefused(Failure("volume 'v' cannot fly: it has no wings", "no_wings", volume="v"))
    assert exit_code(error) == 1
    assert (str(error), error.volume) == ("volume 'v' cannot fly: it has no wings", "v")


def test_the_first_of_several_failures_decides_the_exit_code() -> None:
    """One line has all of them; 69 stays 69, although a busy volume has the same HTTP status."""
    with pytest.raises(SeveralFailed, match="no engine: start it; no such") as failed:
        raise_all([EngineUnreachable("no engine", "start it"), RequestRefused(Failure("no such", "no_such_volume"))])
    assert exit_code(failed.value) == os.EX_UNAVAILABLE
